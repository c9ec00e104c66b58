{{- define "tidegate.targets" -}}
{{- $mine := dict "image" .Values.image "namespace" .Release.Namespace -}}
{{- $mine = merge $mine (dict "service_account" (.Values.options.service_account | default "tidegate-worker")) -}}
{{- $mine = merge $mine (.Values.options | default dict) -}}
{{- toYaml (merge (dict "default" "kubernetes" "kubernetes" $mine) (.Values.targets | default dict)) -}}
{{- end -}}
