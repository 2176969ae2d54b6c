#!/usr/bin/env bash
# Installs the programs that the tests compare earshot with: as root on a Debian system with
# apt-get, else it says what to install. Tests skip what is not there, and say so.
set -u
need=()
have() { command -v "$1" >/dev/null 2>&1 || need+=("$2"); }
have ffmpeg ffmpeg
have mpg123 mpg123
have flac flac
have opusdec opus-tools
have sox sox
have lame lame
have jq jq
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || have initdb postgresql
[ ${#need[@]} -eq 0 ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
	export DEBIAN_FRONTEND=noninteractive
	{ apt-get update -qq && apt-get install -y -qq --no-install-recommends "${need[@]}"; } >/dev/null 2>&1 && exit 0
fi
echo "for the whole test suite install: ${need[*]} (tests that need them will be skipped)"
exit 0
