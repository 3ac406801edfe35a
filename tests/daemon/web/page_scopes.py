"""The pages, and the scope that each takes."""

from __future__ import annotations

from daemon.web.authorising import ANYBODY, KNOWN

PAGES = {
    ("GET", "/"): "search",
    ("GET", "/why/<creator_id>"): "search",
    ("GET", "/similar"): "search",
    ("GET", "/compare"): "search",
    ("GET", "/creators/<creator_id>"): "search",
    ("GET", "/export"): "export",
    ("POST", "/searches"): "lists",
    ("POST", "/searches/<search_id>/delete"): "lists",
    ("POST", "/creators/<creator_id>/note"): "lists",
    ("POST", "/creators/<creator_id>/hidden"): "lists",
    ("GET", "/lists"): "lists",
    ("POST", "/lists"): "lists",
    ("GET", "/lists/put"): "lists",
    ("GET", "/lists/<list_id>"): "lists",
    ("POST", "/lists/<list_id>/change"): "lists",
    ("POST", "/lists/<list_id>/seen"): "lists",
    ("POST", "/lists/<list_id>/delete"): "lists",
    ("GET", "/lists/<list_id>/export"): "lists",
    ("POST", "/creators/<creator_id>/forget"): "admin",
    ("POST", "/creators/<creator_id>/split"): "admin",
    ("GET", "/import"): "admin",
    ("POST", "/import"): "admin",
    ("GET", "/operations"): "admin",
    ("GET", "/ops"): "admin",
    ("GET", "/operations/live"): "admin",
    ("POST", "/operations/dead-letters/<letter_id>/replay"): "admin",
    ("POST", "/operations/reviews"): "admin",
    ("GET", "/login"): ANYBODY,
    ("POST", "/theme"): ANYBODY,
    ("POST", "/logout"): KNOWN,
}
