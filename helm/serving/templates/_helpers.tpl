{{- define "serving.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if .Values.nameOverride -}}
{{- printf "%s-%s" .Release.Name .Values.nameOverride | trunc 53 | trimSuffix "-" -}}
{{- else -}}
{{- .Release.Name | trunc 53 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "serving.selectorLabels" -}}
app.kubernetes.io/name: spillway
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: engine
{{- end -}}

{{- define "serving.labels" -}}
{{ include "serving.selectorLabels" . }}
app.kubernetes.io/part-of: spillway
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "serving.image" -}}
{{- $image := .Values.image -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository ($image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{/* How long a start may take: the weights at the slowest rate, and everything else. */}}
{{- define "serving.startupSeconds" -}}
{{- if eq .Values.engine.kind "Sim" -}}
{{- add .Values.engine.sim.coldStartSeconds 60 -}}
{{- else -}}
{{- $mebibytes := mul (int .Values.model.weightsGibibytes) 1024 -}}
{{- add (div (add $mebibytes (int .Values.startup.readMebibytesPerSecond) -1) (int .Values.startup.readMebibytesPerSecond)) (int .Values.startup.initSeconds) -}}
{{- end -}}
{{- end -}}

{{- define "serving.usesGpu" -}}
{{- if and (eq .Values.engine.kind "Vllm") (eq .Values.engine.device "Gpu") }}true{{ end -}}
{{- end -}}

{{- define "serving.claimName" -}}
{{- .Values.cache.existingClaim | default (printf "%s-cache" (include "serving.fullname" .)) -}}
{{- end -}}

{{/* Values that contradict each other. Whether a model fits its GPU is not judged here: the controller knows the
     catalogue and says it in the conditions of the ModelPool. */}}
{{- define "serving.check" -}}
{{- $v := .Values -}}
{{- if eq $v.image.tag "latest" -}}
{{- fail "image.tag: 'latest' must not be used, it names no version; leave it empty for the chart's own" -}}
{{- end -}}
{{- if and (eq $v.engine.kind "Vllm") (not $v.model.path) (not $v.model.hub.repository) -}}
{{- fail "model: one of model.hub.repository and model.path must be set; they say where the weights are" -}}
{{- end -}}
{{- if and $v.model.path $v.model.hub.repository -}}
{{- fail (printf "model: only one of model.hub.repository ('%s') and model.path ('%s') may be set; set the other to ''" $v.model.hub.repository $v.model.path) -}}
{{- end -}}
{{- if and (eq $v.engine.kind "Vllm") $v.model.hub.repository (not $v.model.hub.revision) -}}
{{- fail (printf "model.hub.revision: must be the commit of %s, 40 hex digits; a branch could change under a running pool" $v.model.hub.repository) -}}
{{- end -}}
{{- if gt (int $v.modelPool.replicas.min) (int $v.modelPool.replicas.max) -}}
{{- fail (printf "modelPool.replicas.min: %d must be at most modelPool.replicas.max, which is %d" (int $v.modelPool.replicas.min) (int $v.modelPool.replicas.max)) -}}
{{- end -}}
{{- if ge (int $v.modelPool.spill.exitSaturationPercent) (int $v.modelPool.spill.enterSaturationPercent) -}}
{{- fail (printf "modelPool.spill.exitSaturationPercent: %d must be less than enterSaturationPercent, which is %d" (int $v.modelPool.spill.exitSaturationPercent) (int $v.modelPool.spill.enterSaturationPercent)) -}}
{{- end -}}
{{- if and (eq (int $v.rollout.maxSurge) 0) (eq (int $v.rollout.maxUnavailable) 0) -}}
{{- fail "rollout.maxUnavailable: must be at least 1 while rollout.maxSurge is 0, or no pod could ever be replaced" -}}
{{- end -}}
{{- if and (eq $v.engine.device "Cpu") (gt (int $v.engine.tensorParallel) 1) -}}
{{- fail (printf "engine.tensorParallel: %d must be 1 with engine.device Cpu" (int $v.engine.tensorParallel)) -}}
{{- end -}}
{{- if and (eq $v.engine.kind "Vllm") (eq $v.engine.device "Cpu") (mod (int $v.engine.blockSizeTokens) 32) -}}
{{- fail (printf "engine.blockSizeTokens: %d must be a multiple of 32 with engine.device Cpu" (int $v.engine.blockSizeTokens)) -}}
{{- end -}}
{{- include "serving.checkCache" . -}}
{{- range $name, $_ := $v.podLabels -}}
{{- if hasPrefix "app.kubernetes.io/" $name -}}
{{- fail (printf "podLabels: '%s' may not be set, the selector depends on it" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "serving.checkCache" -}}
{{- $v := .Values -}}
{{- $c := $v.cache -}}
{{- if and (eq $c.type "HostPath") (not $c.hostPath) -}}
{{- fail "cache.hostPath: must name a folder of the node with cache.type HostPath, such as /mnt/k8s-disks/0/models" -}}
{{- end -}}
{{- if and $c.hostPath (ne $c.type "HostPath") -}}
{{- fail (printf "cache.hostPath: '%s' may only be set with cache.type HostPath, which is %s" $c.hostPath $c.type) -}}
{{- end -}}
{{- if and $c.existingClaim (ne $c.type "PersistentVolumeClaim") -}}
{{- fail (printf "cache.existingClaim: '%s' may only be set with cache.type PersistentVolumeClaim, which is %s" $c.existingClaim $c.type) -}}
{{- end -}}
{{- if and (eq $c.type "PersistentVolumeClaim") (not $c.existingClaim) (eq $c.accessMode "ReadWriteOnce") (gt (int $v.modelPool.replicas.max) 1) -}}
{{- fail (printf "cache.accessMode: must be ReadWriteMany, as modelPool.replicas.max is %d and ReadWriteOnce binds the volume to one node" (int $v.modelPool.replicas.max)) -}}
{{- end -}}
{{- if and (eq $v.engine.kind "Vllm") $v.model.hub.repository (ne $c.type "HostPath") (not $c.existingClaim) (lt (int $c.sizeGibibytes) (int (add (int $v.model.weightsGibibytes) 5))) -}}
{{- fail (printf "cache.sizeGibibytes: %d must be at least %d: the weights (model.weightsGibibytes) and 5 for compiled kernels" (int $c.sizeGibibytes) (int (add (int $v.model.weightsGibibytes) 5))) -}}
{{- end -}}
{{- end -}}
