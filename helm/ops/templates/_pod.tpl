{{/* Environment of both processes. */}}
{{- define "ops.environment" -}}
- name: SPILLWAY_STATE_DIR
  value: /var/lib/spillway
- name: SPILLWAY_NAMESPACE
  valueFrom:
    fieldRef: {fieldPath: metadata.namespace}
- name: SPILLWAY_POD_NAME
  valueFrom:
    fieldRef: {fieldPath: metadata.name}
- name: SPILLWAY_ENGINE_KEY
  valueFrom:
    secretKeyRef:
      name: {{ .Values.existingSecret }}
      key: engine-key
{{- end -}}

{{- define "ops.gatewayContainer" -}}
{{- $v := .Values -}}
name: gateway
image: {{ include "ops.image" . | quote }}
imagePullPolicy: {{ $v.image.pullPolicy }}
command: [spillway]
args: [gateway, --platform, kubernetes]
workingDir: /etc/spillway
env:
  {{- include "ops.environment" . | nindent 2 }}
  - name: SPILLWAY_PEPPER_FILE
    value: /run/secrets/spillway/pepper
{{- if eq $v.database.type "Postgres" }}
  - name: SPILLWAY_DATABASE_URL
    valueFrom:
      secretKeyRef:
        name: {{ $v.existingSecret }}
        key: database-url
{{- end }}
{{- with $v.gateway.extraEnv }}
  {{- toYaml . | nindent 2 }}
{{- end }}
ports:
  - name: http
    containerPort: 8080
  - name: admin
    containerPort: 8081
startupProbe:
  httpGet: {path: /healthz, port: admin}
  periodSeconds: 1
  timeoutSeconds: 2
  failureThreshold: 300
readinessProbe:
  httpGet: {path: /readyz, port: admin}
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 2
livenessProbe:
  httpGet: {path: /healthz, port: admin}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
resources:
  {{- toYaml $v.gateway.resources | nindent 2 }}
securityContext:
  {{- include "ops.containerSecurity" . | nindent 2 }}
volumeMounts:
  - {name: config, mountPath: /etc/spillway, readOnly: true}
  - {name: state, mountPath: /var/lib/spillway}
  - {name: tmp, mountPath: /tmp}
  - {name: secrets, mountPath: /run/secrets/spillway, readOnly: true}
{{- if $v.providerKeys.existingSecret }}
  - {name: provider-keys, mountPath: /run/secrets/providers, readOnly: true}
{{- end }}
{{- end -}}

{{/* The controller calls no provider, so it holds no key of one: it is told which have one. */}}
{{- define "ops.controllerContainer" -}}
{{- $v := .Values -}}
name: controller
image: {{ include "ops.image" . | quote }}
imagePullPolicy: {{ $v.image.pullPolicy }}
command: [spillway]
args: [controller, --platform, kubernetes]
workingDir: /etc/spillway
env:
  {{- include "ops.environment" . | nindent 2 }}
  - name: SPILLWAY_PROVIDERS_WITH_KEYS
    value: {{ keys $v.providerKeys.providers | sortAlpha | join "," | quote }}
{{- with $v.controller.extraEnv }}
  {{- toYaml . | nindent 2 }}
{{- end }}
ports:
  - name: http
    containerPort: 8082
startupProbe:
  httpGet: {path: /healthz, port: http}
  periodSeconds: 1
  timeoutSeconds: 2
  failureThreshold: 60
readinessProbe:
  httpGet: {path: /readyz, port: http}
  periodSeconds: 5
  timeoutSeconds: 2
  failureThreshold: 3
livenessProbe:
  httpGet: {path: /healthz, port: http}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
resources:
  {{- toYaml $v.controller.resources | nindent 2 }}
securityContext:
  {{- include "ops.containerSecurity" . | nindent 2 }}
volumeMounts:
  - {name: config, mountPath: /etc/spillway, readOnly: true}
  - {name: state, mountPath: /var/lib/spillway}
  - {name: tmp, mountPath: /tmp}
{{- end -}}

{{- define "ops.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "ops.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ .Values.runAsUser | int64 }}
runAsGroup: {{ .Values.runAsUser | int64 }}
fsGroup: {{ .Values.runAsUser | int64 }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{/* (list . "gateway" graceSeconds) -> a pod template. */}}
{{- define "ops.pod" -}}
{{- $root := index . 0 -}}
{{- $component := index . 1 -}}
{{- $part := get $root.Values $component -}}
metadata:
  labels:
    {{- include "ops.selectorLabels" . | nindent 4 }}
    app.kubernetes.io/part-of: spillway
{{- with $part.podLabels }}
    {{- toYaml . | nindent 4 }}
{{- end }}
  annotations:
{{- if eq $root.Values.configChange "Roll" }}
    checksum/config: {{ include "ops.config" $root | sha256sum }}
{{- end }}
    kubectl.kubernetes.io/default-container: {{ $component }}
{{- with $part.podAnnotations }}
    {{- toYaml . | nindent 4 }}
{{- end }}
spec:
  serviceAccountName: {{ include "ops.name" . }}
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ index . 2 }}
{{- with $root.Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
{{- end }}
  securityContext:
    {{- include "ops.podSecurity" $root | nindent 4 }}
  containers:
    - {{- include (printf "ops.%sContainer" $component) $root | nindent 6 }}
  volumes:
    - name: config
      configMap:
        name: {{ include "ops.name" (list $root "config") }}
    - name: state
{{- if and (eq $component "gateway") (include "ops.hasClaim" $root) }}
      persistentVolumeClaim:
        claimName: {{ include "ops.claimName" $root }}
{{- else }}
      emptyDir:
        sizeLimit: 1Gi
{{- end }}
    - name: tmp
      emptyDir:
        sizeLimit: 256Mi
{{- if eq $component "gateway" }}
    - name: secrets
      secret:
        secretName: {{ $root.Values.existingSecret }}
        defaultMode: 0440
{{- with $root.Values.providerKeys.existingSecret }}
    - name: provider-keys
      secret:
        secretName: {{ . }}
        defaultMode: 0440
{{- end }}
{{- end }}
{{- include "ops.placement" (list $root $component) }}
{{- end -}}

{{- define "ops.placement" }}
{{- $part := get (index . 0).Values (index . 1) }}
{{- with $part.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
{{- end }}
{{- with $part.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
{{- end }}
{{- with $part.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
{{- end }}
  topologySpreadConstraints:
{{- if $part.topologySpreadConstraints }}
    {{- toYaml $part.topologySpreadConstraints | nindent 4 }}
{{- else }}
{{- range $key := list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
    - maxSkew: 1
      topologyKey: {{ $key }}
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "ops.selectorLabels" $ | nindent 10 }}
{{- end }}
{{- end }}
{{- with $part.priorityClassName }}
  priorityClassName: {{ . }}
{{- end }}
{{- end }}
