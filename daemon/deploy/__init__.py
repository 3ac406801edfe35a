"""Files for who runs the daemon: a systemd unit, Prometheus rules and a Grafana dashboard."""
