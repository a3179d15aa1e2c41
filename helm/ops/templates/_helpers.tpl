{{- define "ops.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if .Values.nameOverride -}}
{{- printf "%s-%s" .Release.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* The following take (list . "gateway") or (list . "controller"). */}}
{{- define "ops.name" -}}
{{- printf "%s-%s" (include "ops.fullname" (index . 0)) (index . 1) -}}
{{- end -}}

{{- define "ops.selectorLabels" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: spillway
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- define "ops.labels" -}}
{{- $root := index . 0 -}}
{{ include "ops.selectorLabels" . }}
app.kubernetes.io/part-of: spillway
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version }}
{{- end -}}

{{- define "ops.image" -}}
{{- $image := .Values.image -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository ($image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{- define "ops.claimName" -}}
{{- .Values.database.sqlite.existingClaim | default (include "ops.name" (list . "state")) -}}
{{- end -}}

{{- define "ops.hasClaim" -}}
{{- if and (eq .Values.database.type "Sqlite") .Values.database.sqlite.persistent }}true{{ end -}}
{{- end -}}

{{/* Values that contradict each other, or what the chart itself writes. */}}
{{- define "ops.check" -}}
{{- $v := .Values -}}
{{- if eq $v.image.tag "latest" -}}
{{- fail "image.tag: 'latest' must not be used, it names no version; leave it empty for the chart's own" -}}
{{- end -}}
{{- if $v.config.pools -}}
{{- fail "config.pools: must be empty; on Kubernetes pools come from ModelPool objects, one for each release of the serving chart" -}}
{{- end -}}
{{- $written := dict "gateway" (list "host" "port" "admin_host" "admin_port" "drain_lead_s" "drain_s") "controller" (list "host" "port" "gateways") -}}
{{- range $section, $names := $written -}}
{{- range $name := $names -}}
{{- if hasKey (get $v.config $section | default dict) $name -}}
{{- fail (printf "config.%s.%s: must not be set; the chart writes it (values gateway.drain, gateway.service and the pods' own addresses)" $section $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $name := list "state_dir" "database_url_env" -}}
{{- if hasKey $v.config $name -}}
{{- fail (printf "config.%s: must not be set; the chart says it by environment variables (value database)" $name) -}}
{{- end -}}
{{- end -}}
{{- if eq $v.database.type "Sqlite" -}}
{{- if $v.gateway.autoscaling.enabled -}}
{{- fail "gateway.autoscaling.enabled: must be false with database.type Sqlite, which is for one gateway; use Postgres for more" -}}
{{- end -}}
{{- if gt (int $v.gateway.replicas) 1 -}}
{{- fail (printf "gateway.replicas: %d must be 1 with database.type Sqlite, which is for one gateway; use Postgres for more" (int $v.gateway.replicas)) -}}
{{- end -}}
{{- end -}}
{{- if and $v.gateway.autoscaling.enabled (gt (int $v.gateway.autoscaling.minReplicas) (int $v.gateway.autoscaling.maxReplicas)) -}}
{{- fail (printf "gateway.autoscaling.minReplicas: %d must be at most maxReplicas, which is %d" (int $v.gateway.autoscaling.minReplicas) (int $v.gateway.autoscaling.maxReplicas)) -}}
{{- end -}}
{{- if and $v.providerKeys.providers (not $v.providerKeys.existingSecret) -}}
{{- fail "providerKeys.existingSecret: must name the Secret that holds providerKeys.providers" -}}
{{- end -}}
{{- range $name, $_ := $v.providerKeys.providers -}}
{{- if hasKey (get ($v.config.providers | default dict) $name | default dict) "api_key_file" -}}
{{- fail (printf "config.providers.%s.api_key_file: must not be set beside providerKeys.providers.%s, which writes it" $name $name) -}}
{{- end -}}
{{- end -}}
{{- if and $v.ingress.enabled (not $v.ingress.host) -}}
{{- fail "ingress.host: must name the host while ingress.enabled is true" -}}
{{- end -}}
{{- if and $v.httpRoute.enabled (not $v.httpRoute.parentRefs) -}}
{{- fail "httpRoute.parentRefs: must name at least one Gateway while httpRoute.enabled is true, such as [{name: public, namespace: gateways}]" -}}
{{- end -}}
{{- range $part := list "gateway" "controller" -}}
{{- range $name, $_ := (get $v $part).podLabels -}}
{{- if hasPrefix "app.kubernetes.io/" $name -}}
{{- fail (printf "%s.podLabels: '%s' may not be set, the selector depends on it" $part $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* (list . name): that the ModelPool resource, where the cluster has it already, is this release's to upgrade. */}}
{{- define "ops.checkResource" -}}
{{- $root := index . 0 -}}
{{- $name := index . 1 -}}
{{- $found := lookup "apiextensions.k8s.io/v1" "CustomResourceDefinition" "" $name -}}
{{- if $found -}}
{{- $said := $found.metadata.annotations | default dict -}}
{{- $release := get $said "meta.helm.sh/release-name" -}}
{{- $namespace := get $said "meta.helm.sh/release-namespace" -}}
{{- if or (ne $release $root.Release.Name) (ne $namespace $root.Release.Namespace) -}}
{{- $owner := printf "release '%s' in namespace '%s', which upgrades it" $release $namespace -}}
{{- if not $release -}}{{- $owner = "no release of Helm" -}}{{- end -}}
{{- fail (printf "crds.install: must be false here, as the resource %s of this cluster belongs to %s; or, where nobody else upgrades it, make it this release's first: kubectl label crd %s --overwrite app.kubernetes.io/managed-by=Helm && kubectl annotate crd %s --overwrite meta.helm.sh/release-name=%s meta.helm.sh/release-namespace=%s" $name $owner $name $name $root.Release.Name $root.Release.Namespace) -}}
{{- end -}}
{{- end -}}
{{- end -}}
