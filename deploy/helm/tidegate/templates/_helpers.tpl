{{- define "tidegate.targets" -}}
{{- $mine := dict "image" .Values.image "namespace" .Release.Namespace -}}
{{- $mine = merge $mine (.Values.options | default dict) -}}
{{- toYaml (merge (dict "default" "kubernetes" "kubernetes" $mine) (.Values.targets | default dict)) -}}
{{- end -}}
