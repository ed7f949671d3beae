#!/bin/sh
# Makes sure that there is a Chromium for the browser tests: the system's, else the distribution's
# package (as root, which also brings its libraries), else the one that playwright downloads.
# Usage: ensure_chromium.sh path/to/python
set -eu
python=$1

has_system_chromium() {
    command -v chromium || command -v chromium-browser || command -v google-chrome
}
has_playwright_chromium() {
    "$python" - <<'PY'
import os, sys
from playwright.sync_api import sync_playwright

with sync_playwright() as playwright:
    sys.exit(not os.path.exists(playwright.chromium.executable_path))
PY
}

if has_system_chromium >/dev/null || has_playwright_chromium; then
    exit 0
fi
if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    export DEBIAN_FRONTEND=noninteractive
    if { apt-get -qq update && apt-get -qq install -y --no-install-recommends chromium; } \
        >/dev/null </dev/null && has_system_chromium >/dev/null; then
        exit 0
    fi
fi
"$python" -m playwright install chromium
