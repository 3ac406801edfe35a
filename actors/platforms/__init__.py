"""One adapter a platform; they import proto and the HTTP client only."""
