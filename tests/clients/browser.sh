#!/usr/bin/env bash
# A browser's page on another origin, against a debug server whose --cors names that origin and one whose --cors names only
# others (as in etcd, every origin may read where the flag is not given): it may read from the first and not from the second.
# By hand, where Chromium is installed (BROWSER may name it; Debian has it in `chromium`).
set -euo pipefail
cd "$(dirname "$0")/../.."

browser=${BROWSER:-chromium}
if ! command -v "$browser" >/dev/null; then echo "skipped: $browser is not installed"; exit 0; fi
. .ci/servers

# The page asks both servers and writes down what it got: a revision, or the browser's own error.
mkdir "$dir/pages"
cat >"$dir/pages/index.html" <<'PAGE'
<!doctype html><title>asking</title><pre id="got"></pre>
<script>
async function ask(server) {
  try {
    const body = JSON.stringify({ key: btoa("k") });
    const answer = await fetch(`http://${server}/v3/kv/range`, { method: "POST", headers: { "Content-Type": "application/json" }, body });
    return `read revision ${(await answer.json()).header.revision}`;
  } catch (error) { return `${error}`; }
}
(async () => {
  const servers = location.hash.slice(1).split(",");
  const got = await Promise.all(servers.map(ask));
  document.getElementById("got").textContent = got.join("; ");
})();
</script>
PAGE
(cd "$dir/pages" && exec python3 -u -m http.server --bind 127.0.0.1 0 >"$dir/pages.log" 2>&1) &
pids+=($!)
for _ in $(seq 100); do
  port=$(sed -n 's/.* port \([0-9]*\).*/\1/p' "$dir/pages.log")
  [ -z "$port" ] || break
  sleep 0.1
done

start_server with --cors "http://127.0.0.1:$port"
start_server without --cors http://other.example
with=$(address_of with) without=$(address_of without)
page="http://127.0.0.1:$port/index.html#$with,$without"
got=$("$browser" --headless --no-sandbox --disable-gpu --user-data-dir="$dir/profile" --virtual-time-budget=10000 \
  --dump-dom "$page" 2>"$dir/browser.log" | sed -n 's/.*<pre id="got">\(.*\)<\/pre>.*/\1/p')
echo "named by --cors, and not named: $got"
case $got in
  "read revision "[0-9]*"; TypeError: Failed to fetch") echo "ok" ;;
  *) echo "not what was expected" >&2; tail -n 20 "$dir/browser.log" >&2; exit 1 ;;
esac
