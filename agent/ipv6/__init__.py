"""IPv6 readiness as this host can see it: one file a family of checks; ``checklist`` runs them all."""
