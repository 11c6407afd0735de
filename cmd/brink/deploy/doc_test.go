// Package deploy_test holds what brink ships for a fleet against the parsers of
// the programs that it is for: systemd's, Kubernetes' types, the Collector's,
// Prometheus'.
package deploy_test
