"""One outside system per file; each fits a port declared by the package that needs it."""
