"""Metrics of sessionguard for Prometheus, with nothing per conversation in them."""

from sessionguard_prometheus.plugin import PrometheusPlugin

__all__ = ["PrometheusPlugin"]
