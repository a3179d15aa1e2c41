{{/* spillway.yaml: what the user says, and what follows from being in a pod. */}}
{{- define "ops.config" -}}
{{- $v := .Values -}}
{{- $config := deepCopy $v.config -}}
{{- $_ := set $config "pools" list -}}
{{- $gateway := dict "host" "0.0.0.0" "port" 8080 "admin_host" "0.0.0.0" "admin_port" 8081 "drain_lead_s" (int $v.gateway.drain.leadSeconds) "drain_s" (int $v.gateway.drain.seconds) -}}
{{- $_ := set $config "gateway" (merge $gateway ($config.gateway | default dict)) -}}
{{- $_ := set $config "controller" (merge (dict "host" "0.0.0.0" "port" 8082) ($config.controller | default dict)) -}}
{{- if $v.providerKeys.providers -}}
{{- $providers := $config.providers | default dict -}}
{{- range $name, $key := $v.providerKeys.providers -}}
{{- $_ := set $providers $name (merge (dict "api_key_file" (printf "/run/secrets/providers/%s" $key)) (get $providers $name | default dict)) -}}
{{- end -}}
{{- $_ := set $config "providers" $providers -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}
