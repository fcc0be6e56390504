"""The templates that are there without a file, under Alertmanager's names, with texts of our own."""

__all__ = ["DEFAULTS"]

DEFAULTS = """
{{ define "__alertmanager" }}watchkeeper{{ end }}
{{ define "__alertmanagerURL" }}{{ .ExternalURL }}/#/alerts?receiver={{ .Receiver | urlquery }}{{ end }}
{{ define "__description" }}{{ end }}
{{ define "__subject" -}}
[{{ .Status | toUpper }}{{ if eq .Status "firing" }}:{{ len .Alerts.Firing }}{{ end }}]
{{- range .GroupLabels.SortedPairs }} {{ .Value }}{{ end }}
{{- with .CommonAnnotations.summary }}: {{ . }}{{ end }}
{{- end }}

{{ define "__text_alert_list" }}{{ range . -}}
* {{ with .Annotations.summary }}{{ . }}{{ else }}{{ .Labels.alertname }}{{ end }}
  Since: {{ .StartsAt.Format "2006-01-02 15:04:05 MST" }}
  Labels: {{ .Labels }}
{{ range .Annotations.SortedPairs }}{{ if ne .Name "summary" }}  {{ .Name }}: {{ .Value }}
{{ end }}{{ end }}{{ with .GeneratorURL }}  Query: {{ . }}
{{ end }}{{ end }}{{ end }}
{{ define "__text_alert_list_markdown" }}{{ range . -}}
- **{{ with .Annotations.summary }}{{ . }}{{ else }}{{ .Labels.alertname }}{{ end }}**
  - Since: {{ .StartsAt.Format "2006-01-02 15:04:05 MST" }}
{{ range .Labels.SortedPairs }}  - {{ .Name }}: {{ .Value }}
{{ end }}{{ end }}{{ end }}

{{ define "slack.default.title" }}{{ template "__subject" . }}{{ end }}
{{ define "slack.default.username" }}{{ template "__alertmanager" . }}{{ end }}
{{ define "slack.default.fallback" }}{{ template "slack.default.title" . }}{{ end }}
{{ define "slack.default.callbackid" }}{{ end }}
{{ define "slack.default.pretext" }}{{ end }}
{{ define "slack.default.titlelink" }}{{ template "__alertmanagerURL" . }}{{ end }}
{{ define "slack.default.iconemoji" }}{{ end }}
{{ define "slack.default.iconurl" }}{{ end }}
{{ define "slack.default.text" }}{{ template "__text_alert_list" .Alerts }}{{ end }}
{{ define "slack.default.footer" }}{{ end }}
{{ define "slack.default.color" }}{{ if eq .Status "firing" }}danger{{ else }}good{{ end }}{{ end }}

{{ define "pagerduty.default.description" }}{{ template "__subject" . }}{{ end }}
{{ define "pagerduty.default.client" }}{{ template "__alertmanager" . }}{{ end }}
{{ define "pagerduty.default.clientURL" }}{{ template "__alertmanagerURL" . }}{{ end }}
{{ define "pagerduty.default.instances" }}{{ template "__text_alert_list" . }}{{ end }}

{{ define "email.default.subject" }}{{ template "__subject" . }}{{ end }}
{{ define "email.default.html" -}}
<!DOCTYPE html>
<html><body>
<h1>{{ template "__subject" . }}</h1>
<ul>{{ range .Alerts }}<li><b>{{ .Status }}</b> {{ .Annotations.summary }}<br>{{ .Labels }}</li>{{ end }}</ul>
<p><a href="{{ .ExternalURL }}">{{ template "__alertmanager" . }}</a></p>
</body></html>
{{- end }}
"""
"""One text, as a template file holds it."""
