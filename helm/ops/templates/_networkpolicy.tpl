{{/* Addresses, or any but link-local: there the cloud's metadata server is. */}}
{{- define "ops.addresses" -}}
{{- if . -}}
{{- range . }}
- ipBlock: {cidr: {{ . | quote }}}
{{- end }}
{{- else }}
- ipBlock: {cidr: 0.0.0.0/0, except: [169.254.0.0/16]}
- ipBlock: {cidr: "::/0", except: ["fe80::/10", "fd00:ec2::/32"]}
{{- end }}
{{- end -}}

{{- define "ops.prometheus" -}}
{{- with .Values.networkPolicy.prometheus }}
{{- if or .namespaceLabels .podLabels }}
- namespaceSelector:
    matchLabels:
      {{- toYaml .namespaceLabels | nindent 6 }}
  podSelector:
    matchLabels:
      {{- toYaml .podLabels | nindent 6 }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "ops.component" -}}
podSelector:
  matchLabels:
    app.kubernetes.io/name: spillway
    app.kubernetes.io/component: {{ . }}
{{- end -}}

{{/* Names, the Kubernetes API and engines: what both processes talk to. */}}
{{- define "ops.egress" -}}
- to:
    - namespaceSelector:
        matchLabels: {kubernetes.io/metadata.name: kube-system}
  ports:
    - {port: 53, protocol: UDP}
    - {port: 53, protocol: TCP}
- to:
    {{- include "ops.addresses" .Values.networkPolicy.apiServerCidrs | nindent 4 }}
  ports:
{{- range .Values.networkPolicy.apiServerPorts }}
    - {port: {{ . | int }}, protocol: TCP}
{{- end }}
- to:
    - {{- include "ops.component" "engine" | nindent 6 }}
  ports:
{{- range .Values.networkPolicy.enginePorts }}
    - {port: {{ . | int }}, protocol: TCP}
{{- end }}
{{- end -}}
