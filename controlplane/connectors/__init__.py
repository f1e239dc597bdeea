"""Plugins that speak the systems' protocols. Law: a connector translates and answers with named outcomes; it decides nothing and stores nothing."""
