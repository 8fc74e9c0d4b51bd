#!/bin/bash
# Make a Debian package of a built tree: scripts/make-deb.sh BUILD_FOLDER [OUTPUT_FOLDER]
#
# Programs without their symbols, units, the users, folders, the profile as a configuration file,
# manual pages and completions as the commands describe themselves. What it needs of the system is
# what dpkg-shlibdeps finds, and systemd. Prints the package's path. Needs dpkg-dev, python3, strip.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
build=$(realpath "$1")
output=$(realpath "${2:-$build}")
export LC_ALL=C.UTF-8
umask 022

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
version=$("$build/sluiced" --version)
maintainer="The Sluice developers <sluice@localhost.invalid>"
architecture=$(dpkg --print-architecture)
# Of the last change, so that the same tree makes the same package.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$here" log -1 --format=%ct 2>/dev/null || echo 0)}
export SOURCE_DATE_EPOCH

put() { install -D -m 644 "$1" "$root/$2"; }

for program in sluice sluiced; do
    install -d "$root/usr/bin"
    strip --strip-all -o "$root/usr/bin/$program" "$build/$program"
    chmod 755 "$root/usr/bin/$program"
done
for unit in "$here"/systemd/*.service "$here"/systemd/*.socket; do
    put "$unit" "usr/lib/systemd/system/$(basename "$unit")"
done
for unit in "$here"/systemd/user/*; do
    put "$unit" "usr/lib/systemd/user/$(basename "$unit")"
done
put "$here/systemd/sluice.sysusers.conf" usr/lib/sysusers.d/sluice.conf
put "$here/systemd/sluice.tmpfiles.conf" usr/lib/tmpfiles.d/sluice.conf
put "$here/deploy/grafana/sluice.json" usr/share/sluice/grafana/sluice.json
put "$here/profiles/generic.toml" etc/sluice/sluice.toml
cat > "$work/copyright" << 'COPYRIGHT'
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: Sluice

Files: *
Copyright: 2026 the Sluice developers; those of Swift, SwiftNIO and ArgumentParser, which the
 programs contain
License: Apache-2.0
 On Debian systems the full text is in /usr/share/common-licenses/Apache-2.0.
COPYRIGHT
put "$work/copyright" usr/share/doc/sluice/copyright
for document in CHANGELOG.md README.md SECURITY.md docs/API.md docs/PROFILES.md \
    docs/SERVICE.md docs/USING.md; do
    put "$here/$document" "usr/share/doc/sluice/$(basename "$document")"
done

pages() { # SECTION
    install -d "$root/usr/share/man/man$1"
    cp "$work/pages/"*."$1" "$root/usr/share/man/man$1/"
}
mkdir "$work/pages"
"$here/scripts/man_pages.py" --sluice "$build/sluice" --sluiced "$build/sluiced" "$work/pages"
pages 1
pages 8
gzip -9n "$root"/usr/share/man/man*/*
for shell in bash zsh fish; do
    "$build/sluice" --generate-completion-script $shell > "$work/$shell"
done
sed -i 1d "$work/bash"
put "$work/bash" usr/share/bash-completion/completions/sluice
put "$work/zsh" usr/share/zsh/vendor-completions/_sluice
put "$work/fish" usr/share/fish/vendor_completions.d/sluice.fish
when=$(date -R -u -d "@$SOURCE_DATE_EPOCH")
printf 'sluice (%s) unstable; urgency=medium\n\n  * See CHANGELOG.md.\n\n -- %s  %s\n' \
    "$version" "$maintainer" "$when" | gzip -9n > "$work/changelog.gz"
put "$work/changelog.gz" usr/share/doc/sluice/changelog.gz

# dpkg-shlibdeps wants a source tree of Debian's.
mkdir "$work/debian"
printf 'Source: sluice\n\nPackage: sluice\nArchitecture: any\n' > "$work/debian/control"
needs=$(cd "$work" && dpkg-shlibdeps -O root/usr/bin/sluice root/usr/bin/sluiced 2> said |
    sed -n 's/^shlibs:Depends=//p') || { cat "$work/said" >&2; exit 1; }

install -d "$root/DEBIAN"
cat > "$root/DEBIAN/control" << CONTROL
Package: sluice
Version: $version
Architecture: $architecture
Maintainer: $maintainer
Installed-Size: $(du -k --summarize --apparent-size --exclude=DEBIAN "$root" | cut -f 1)
Depends: $needs, systemd (>= 252)
Recommends: curl, libssl3 | libssl3t64, libzstd1
Suggests: libopenblas0
Section: misc
Priority: optional
Description: language models bigger than the memory they are given
 A service, sluiced, that runs language models within a hard memory budget by
 streaming their weights from flash, and answers over a Unix socket in OpenAI's
 language, Anthropic's or Ollama's; and the command sluice, which packs models
 and runs them.
CONTROL
echo /etc/sluice/sluice.toml > "$root/DEBIAN/conffiles"
for script in postinst prerm postrm; do
    install -m 755 "$here/scripts/package/$script" "$root/DEBIAN/$script"
done
(cd "$root" && find . -path ./DEBIAN -prune -o -type f -printf '%P\0' | sort -z |
    xargs -0 md5sum > DEBIAN/md5sums)
find "$root" -newermt "@$SOURCE_DATE_EPOCH" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +

package=$output/sluice_${version}_$architecture.deb
dpkg-deb --root-owner-group -Zxz --build "$root" "$package" > /dev/null
echo "$package"
