"""Go templates as Alertmanager's receivers use them: parsing, data, functions, expansion."""
