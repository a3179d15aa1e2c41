{{/* Command line of the real server. `--api-key` comes by VLLM_API_KEY, so that no list of processes shows it. */}}
{{- define "serving.vllmArgs" -}}
{{- $v := .Values -}}
- --model
- {{ $v.model.path | default $v.model.hub.repository | quote }}
{{- if hasPrefix "s3://" $v.model.path }}
- --load-format
- runai_streamer
{{- end }}
{{- if not $v.model.path }}
- --revision
- {{ $v.model.hub.revision | quote }}
- --tokenizer-revision
- {{ $v.model.hub.revision | quote }}
{{- end }}
- --served-model-name
- {{ $v.model.servedName | quote }}
- --host
- "0.0.0.0"
- --port
- {{ $v.engine.port | int | quote }}
- --tensor-parallel-size
- {{ $v.engine.tensorParallel | int | quote }}
- --max-model-len
- {{ $v.engine.maxModelLenTokens | int | quote }}
- --max-num-seqs
- {{ $v.engine.maxNumSeqs | int | quote }}
- --max-num-batched-tokens
- {{ $v.engine.maxNumBatchedTokens | int | quote }}
- --block-size
- {{ $v.engine.blockSizeTokens | int | quote }}
{{- if eq $v.engine.device "Gpu" }}
- --gpu-memory-utilization
- {{ printf "%.2f" (divf (int $v.engine.gpuMemoryUtilizationPercent) 100.0) | quote }}
{{- else }}
- --dtype
- bfloat16
- --enforce-eager
{{- end }}
{{- if has $v.engine.weights (list "Fp8" "Awq" "Gptq") }}
- --quantization
- {{ lower $v.engine.weights }}
{{- end }}
{{- if gt (int $v.engine.maxQueuedRequests) 0 }}
- --max-num-queued-reqs
- {{ $v.engine.maxQueuedRequests | int | quote }}
{{- end }}
{{- if gt (int $v.engine.maxQueuedTokens) 0 }}
- --max-num-queued-tokens
- {{ $v.engine.maxQueuedTokens | int | quote }}
{{- end }}
- --shutdown-timeout
- {{ $v.drain.seconds | int | quote }}
- --allowed-media-domains
{{- range ($v.engine.mediaHosts | default (list "none.invalid")) }}
- {{ . | quote }}
{{- end }}
{{- end -}}

{{- define "serving.simArgs" -}}
{{- $v := .Values -}}
- --host
- "0.0.0.0"
- --port
- {{ $v.engine.port | int | quote }}
- --model-key
- {{ $v.model.key | quote }}
- --served-model-name
- {{ $v.model.servedName | quote }}
- --instance-type
- {{ $v.modelPool.instanceType | quote }}
- --tensor-parallel
- {{ $v.engine.tensorParallel | int | quote }}
- --max-model-len
- {{ $v.engine.maxModelLenTokens | int | quote }}
- --max-num-seqs
- {{ $v.engine.maxNumSeqs | int | quote }}
- --max-num-batched-tokens
- {{ $v.engine.maxNumBatchedTokens | int | quote }}
- --block-size
- {{ $v.engine.blockSizeTokens | int | quote }}
- --gpu-memory-utilization
- {{ printf "%.2f" (divf (int $v.engine.gpuMemoryUtilizationPercent) 100.0) | quote }}
- --weights
- {{ lower $v.engine.weights }}
- --cold-start-s
- {{ $v.engine.sim.coldStartSeconds | int | quote }}
- --speed
- {{ $v.engine.sim.speed | int | quote }}
- --drain-s
- {{ $v.drain.seconds | int | quote }}
{{- end -}}

{{/* USER: torch asks for the name of the user, and this one is in no passwd. All caches lie on the cache volume. */}}
{{- define "serving.environment" -}}
{{- $v := .Values -}}
- name: VLLM_API_KEY
  valueFrom:
    secretKeyRef:
      name: {{ $v.engine.existingSecret }}
      key: {{ $v.engine.existingSecretKey }}
- name: HOME
  value: /tmp
- name: USER
  value: engine
{{- if eq $v.engine.kind "Vllm" }}
- name: HF_HOME
  value: /cache/huggingface
- name: VLLM_CACHE_ROOT
  value: /cache/vllm
- name: TORCHINDUCTOR_CACHE_DIR
  value: /cache/inductor
- name: TRITON_CACHE_DIR
  value: /cache/triton
- name: XDG_CACHE_HOME
  value: /cache/xdg
- name: VLLM_NO_USAGE_STATS
  value: "1"
{{- if or $v.model.path $v.model.hub.offline }}
- name: HF_HUB_OFFLINE
  value: "1"
{{- end }}
{{- if $v.model.hub.existingSecret }}
- name: HF_TOKEN
  valueFrom:
    secretKeyRef:
      name: {{ $v.model.hub.existingSecret }}
      key: {{ $v.model.hub.existingSecretKey }}
{{- end }}
{{- if eq $v.engine.device "Cpu" }}
- name: VLLM_CPU_KVCACHE_SPACE
  value: {{ $v.engine.cpuKvCacheGibibytes | int | quote }}
{{- end }}
{{- end }}
{{- with $v.engine.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "serving.container" -}}
{{- $v := .Values -}}
name: engine
image: {{ include "serving.image" . | quote }}
imagePullPolicy: {{ $v.image.pullPolicy }}
{{- with $v.engine.command }}
command:
{{- range . }}
  - {{ . | quote }}
{{- end }}
{{- end }}
args:
{{- if eq $v.engine.kind "Sim" }}
  {{- include "serving.simArgs" . | nindent 2 }}
{{- else }}
  {{- include "serving.vllmArgs" . | nindent 2 }}
{{- end }}
{{- range $v.engine.extraArgs }}
  - {{ . | quote }}
{{- end }}
env:
  {{- include "serving.environment" . | nindent 2 }}
ports:
  - name: http
    containerPort: {{ $v.engine.port | int }}
{{- include "serving.probes" . }}
lifecycle:
  preStop:
    sleep:
      seconds: {{ $v.drain.preStopSeconds | int }}
resources:
  requests:
    cpu: {{ $v.resources.requests.cpu | quote }}
    memory: {{ $v.resources.requests.memory | quote }}
  limits:
    memory: {{ $v.resources.limits.memory | quote }}
{{- if include "serving.usesGpu" . }}
    {{ $v.gpu.resourceName }}: {{ $v.engine.tensorParallel | int | quote }}
{{- end }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
volumeMounts:
  - {name: cache, mountPath: /cache}
  - {name: shm, mountPath: /dev/shm}
  - {name: tmp, mountPath: /tmp}
{{- with $v.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* The engine listens only when it is loaded: the startup probe waits for that as long as its weights may take. */}}
{{- define "serving.probes" }}
{{- $period := int .Values.startup.periodSeconds }}
startupProbe:
  httpGet: {path: /health, port: http}
  periodSeconds: {{ $period }}
  timeoutSeconds: 5
  failureThreshold: {{ div (add (int (include "serving.startupSeconds" .)) $period -1) $period }}
readinessProbe:
  httpGet: {path: /health, port: http}
  periodSeconds: 2
  timeoutSeconds: 5
  failureThreshold: 2
livenessProbe:
  httpGet: {path: /health, port: http}
  periodSeconds: 10
  timeoutSeconds: 10
  failureThreshold: 6
{{- end }}

{{- define "serving.pod" -}}
{{- $v := .Values -}}
metadata:
  labels:
    {{- include "serving.selectorLabels" . | nindent 4 }}
    app.kubernetes.io/part-of: spillway
{{- with $v.podLabels }}
    {{- toYaml . | nindent 4 }}
{{- end }}
  annotations:
    kubectl.kubernetes.io/default-container: engine
    spillway.dev/model: {{ $v.model.path | default (printf "%s@%s" ($v.model.hub.repository | default $v.model.key) ($v.model.hub.revision | default "none")) | quote }}
{{- with $v.podAnnotations }}
    {{- toYaml . | nindent 4 }}
{{- end }}
spec:
  serviceAccountName: {{ include "serving.fullname" . }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ add (int $v.drain.preStopSeconds) (int $v.drain.seconds) 10 }}
{{- with $v.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
{{- end }}
  securityContext:
    runAsNonRoot: true
    runAsUser: {{ $v.runAsUser | int64 }}
    runAsGroup: {{ $v.runAsUser | int64 }}
    fsGroup: {{ $v.runAsUser | int64 }}
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile: {type: RuntimeDefault}
  containers:
    - {{- include "serving.container" . | nindent 6 }}
  volumes:
    - name: cache
{{- if eq $v.cache.type "PersistentVolumeClaim" }}
      persistentVolumeClaim:
        claimName: {{ include "serving.claimName" . }}
{{- else if eq $v.cache.type "HostPath" }}
      hostPath:
        path: {{ $v.cache.hostPath | quote }}
        type: Directory
{{- else }}
      emptyDir:
        sizeLimit: {{ printf "%dGi" (int $v.cache.sizeGibibytes) }}
{{- end }}
    - name: shm
      emptyDir:
        medium: Memory
        sizeLimit: {{ printf "%dGi" (int $v.sharedMemoryGibibytes) }}
    - name: tmp
      emptyDir:
        sizeLimit: 4Gi
{{- with $v.extraVolumes }}
    {{- toYaml . | nindent 4 }}
{{- end }}
{{- include "serving.placement" . }}
{{- end -}}

{{- define "serving.placement" }}
{{- $v := .Values }}
{{- with $v.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
{{- end }}
{{- with $v.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
{{- end }}
{{- with $v.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
{{- end }}
{{- with $v.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- toYaml . | nindent 4 }}
{{- end }}
{{- with $v.priorityClassName }}
  priorityClassName: {{ . }}
{{- end }}
{{- with $v.runtimeClassName }}
  runtimeClassName: {{ . }}
{{- end }}
{{- with $v.schedulerName }}
  schedulerName: {{ . }}
{{- end }}
{{- end }}
