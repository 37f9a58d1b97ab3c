"""Errors of uv when it cannot install what a project needs, and what to change. Controller only.

Nearly all of them were collected from uv 0.13 on a bare Debian 12; tests/plugins/said/ has the originals.
"""

from __future__ import annotations

import re

from ..requirements.declared import SYSTEM
from .table import Given, Matches, listed, row

#: Debian packages by what a build lacks: programs, headers, and libraries by their names in pkg-config.
LACKING = {
    "pg_config": ["libpq-dev"], "libpq-fe.h": ["libpq-dev"], "libpq": ["libpq-dev"],
    "mysql_config": ["default-libmysqlclient-dev", "pkg-config"], "mysql.h": ["default-libmysqlclient-dev"],
    "mysqlclient": ["default-libmysqlclient-dev", "pkg-config"], "mariadb": ["default-libmysqlclient-dev"],
    "mariadb_config": ["libmariadb-dev"],
    "Python.h": ["python3-dev"], "pyconfig.h": ["python3-dev"], "ffi.h": ["libffi-dev"], "libffi": ["libffi-dev"],
    "stdio.h": ["libc6-dev"], "limits.h": ["libc6-dev"], "stdlib.h": ["libc6-dev"], "Scrt1.o": ["libc6-dev"],
    "lber.h": ["libldap-dev", "libsasl2-dev"], "ldap.h": ["libldap-dev"], "sasl/sasl.h": ["libsasl2-dev"],
    "sasl.h": ["libsasl2-dev"], "gdal-config": ["libgdal-dev", "g++"], "gdal.h": ["libgdal-dev"],
    "geos-config": ["libgeos-dev"], "geos_c.h": ["libgeos-dev"], "proj.h": ["libproj-dev"],
    "curl-config": ["libcurl4-openssl-dev", "libssl-dev"], "curl/curl.h": ["libcurl4-openssl-dev", "libssl-dev"],
    "krb5-config": ["libkrb5-dev"], "gssapi.h": ["libkrb5-dev"], "gssapi/gssapi.h": ["libkrb5-dev"],
    "openssl/ssl.h": ["libssl-dev"], "openssl/opensslv.h": ["libssl-dev"], "openssl/evp.h": ["libssl-dev"],
    "openssl": ["libssl-dev"], "libxml2": ["libxml2-dev", "libxslt1-dev"], "libxslt": ["libxml2-dev", "libxslt1-dev"],
    "libxml/xmlversion.h": ["libxml2-dev", "libxslt1-dev"], "libxml/tree.h": ["libxml2-dev", "libxslt1-dev"],
    "xmlsec1": ["libxmlsec1-dev", "pkg-config"], "cairo": ["libcairo2-dev", "pkg-config"],
    "cairo.h": ["libcairo2-dev"], "gobject-introspection-1.0": ["libgirepository1.0-dev", "pkg-config"],
    "dbus-1": ["libdbus-1-dev", "libglib2.0-dev", "pkg-config"], "glib-2.0": ["libglib2.0-dev", "pkg-config"],
    "jpeg": ["libjpeg-dev"], "jpeglib.h": ["libjpeg-dev"], "zlib": ["zlib1g-dev"], "zlib.h": ["zlib1g-dev"],
    "freetype2": ["libfreetype-dev"], "png.h": ["libpng-dev"], "sql.h": ["g++", "unixodbc-dev"],
    "snappy-c.h": ["libsnappy-dev"], "hdf5.h": ["libhdf5-dev"], "hdf5": ["libhdf5-dev", "pkg-config"],
    "yaml.h": ["libyaml-dev"], "zmq.h": ["libzmq3-dev"], "bzlib.h": ["libbz2-dev"], "lzma.h": ["liblzma-dev"],
    "sqlite3.h": ["libsqlite3-dev"], "sodium.h": ["libsodium-dev"], "gmp.h": ["libgmp-dev"],
    "magic.h": ["libmagic-dev"],
    "graphviz/cgraph.h": ["libgraphviz-dev"], "portaudio.h": ["portaudio19-dev"], "usb.h": ["libusb-dev"],
    "systemd/sd-daemon.h": ["libsystemd-dev"], "libsystemd": ["libsystemd-dev", "pkg-config"],
    "augeas": ["libaugeas-dev"], "pcre.h": ["libpcre3-dev"], "event.h": ["libevent-dev"], "apxs": ["apache2-dev"],
    "file": ["file"], "git": ["git"], "make": ["make"], "cmake": ["cmake", "g++"], "swig": ["swig"],
    "autoconf": ["autoconf", "automake", "libtool", "make"], "autoreconf": ["autoconf", "automake", "libtool", "make"],
    "pkg-config": ["pkg-config"], "c++": ["g++"], "g++": ["g++"], "cc": ["gcc"], "gcc": ["gcc"],
    "rust": ["cargo"], "cargo": ["cargo"], "rustc": ["cargo"], "gfortran": ["gfortran"], "ninja": ["ninja-build"],
    "ffmpeg": ["ffmpeg"], "protoc": ["protobuf-compiler"], "nasm": ["nasm"],
}  # fmt: skip
#: What some packages need in addition to what they complain about first, so that the second try does not fail, too.
TAKES = {
    "cffi": ["libffi-dev"], "pillow": ["libfreetype-dev", "libjpeg-dev", "zlib1g-dev"],
    "dbus-python": ["libdbus-1-dev", "libglib2.0-dev", "pkg-config"], "h5py": ["libhdf5-dev", "pkg-config"],
    "pyodbc": ["g++", "unixodbc-dev"], "python-snappy": ["g++", "libsnappy-dev"], "numpy": ["g++"],
    "gevent": ["file", "libffi-dev", "make"], "uvloop": ["file", "make"], "pycrypto": ["make"],
    "gssapi": ["libkrb5-dev"], "psycopg-c": ["libpq-dev"], "psycopg2-binary": ["libpq-dev"],
    "pygraphviz": ["libgraphviz-dev"], "pygobject": ["libcairo2-dev", "libgirepository1.0-dev", "pkg-config"],
    "lxml": ["libxml2-dev", "libxslt1-dev"], "pycurl": ["libcurl4-openssl-dev", "libssl-dev"],
    "cryptography": ["libffi-dev", "libssl-dev", "pkg-config"], "greenlet": ["g++"], "pandas": ["g++"],
    "scipy": ["g++", "gfortran", "libopenblas-dev", "pkg-config"], "grpcio": ["g++"],
    "m2crypto": ["libssl-dev", "swig"],
}  # fmt: skip
#: Patterns for what such builds say. The name, as in LACKING, is a group of the pattern or the second column.
LACKS = (
    (r"\b([\w./+-]+\.h): No such file or directory", ""),
    (r"cannot find (S?crt[1i]\.o)", "Scrt1.o"),
    (r"C compiler cannot create executables|cannot compile programs", "Scrt1.o"),
    (r"No such file or directory: '(?:/usr/bin/)?([\w+-]+)'", ""),
    (r"/usr/bin/([\w+-]+): No such file", ""),
    (r"(?:^|[/: ])([\w+-]+): (?:command )?not found", ""),
    (r"command '([\w+-]+)' failed: No such file", ""),
    (r"(?:Error|error): ([\w+-]+) (?:executable )?not found", ""),
    (r"no acceptable C compiler|you need a C compiler|Unknown compiler\(s\): \[\['cc'\]", "gcc"),
    (r"CMAKE_C(?:XX)?_COMPILER not set|Unknown compiler\(s\): \[\['c\+\+'\]", "g++"),
    (r"CMake must be installed|[Cc]ould not find CMake|Problem with the CMake installation", "cmake"),
    (r"Unable to invoke pkg-config|pkg-config probably not installed|Pkg-config for machine .*not found", "pkg-config"),
    (r"Dependency lookup for ([\w.+-]+) with method 'pkg-config' failed", ""),
    (r"No package '([\w.+-]+)' found|Package '?([\w.+-]+)'? was not found in the pkg-config", ""),
    (r'Dependency "([\w.+-]+)" not found', ""),
    (r"can't find Rust compiler|Rust not found|Cargo, the Rust package manager", "rust"),
    (r"make sure the (libxml2) and libxslt development packages", "libxml2"),
    (r"Could not find (gdal-config)|Could not run ([\w-]+-config)|The '(apxs)' command appears not", ""),
    (r"headers or library files could not be found for (\w+)", ""),
    (r"bootstrapping makefile fragments", "make"),
    (r"Can not find valid pkg-config name", "mysqlclient"),
)  # fmt: skip
ELSEWHERE = (
    r"Wheels are available for `([\w.-]+)` \([^)]*\) on the following platforms: (?:`(?:win|macos)\w+`(?:, )?)+$"
)
FAILED = r"Failed to build `([\w.-]+)(?:==| @ )?([^`]*)`"


def lacking(text: str) -> list[str]:
    """The Debian packages that uv's builds lack, as far as they are known, and those that each build needs anyway."""
    found: set[str] = set()
    known = False
    for pattern, name in LACKS:
        for match in re.finditer(pattern, text, re.MULTILINE):
            what = name or next(filter(None, match.groups()), "")
            what = re.sub(r"^(?:x86_64|aarch64|arm|i686)[\w-]*-(?=g(?:cc|\+\+)$)", "", what)
            if what in LACKING:
                found.update(LACKING[what])
                known = True
    for match in re.finditer(FAILED, text):
        name = re.sub(r"[-_.]+", "-", match[1]).lower()
        found.update(SYSTEM.get(name, []), TAKES.get(name, []))
    return sorted(found | {"gcc", "python3-dev"}) if known else []


def builds(matches: Matches, given: Given) -> tuple[str, str] | None:
    """A package that must be built on a host that lacks something for that."""
    text, name = matches[0].string, matches[0][1]
    packages = lacking(text)
    build = f"release_system_packages: {listed(packages, given, 'release_system_packages')}"
    if "cargo" in packages:
        return "release_constraints", (
            f"{name} has no wheel for this Python and must be built with Rust. Choose a version that has one, in the "
            f"project's requirements or with release_constraints; or write {build}, but note that Debian 12's Rust is "
            "1.63"
        )
    if packages:
        return "release_system_packages", (
            f"{name} has no wheel for this Python and must be built on the host, which lacks some packages for that. "
            f"Write {build}"
        )
    if header := re.search(r"\b([\w./+-]+\.h): No such file|library that provides `([^`]+)`", text):
        return "release_system_packages", (
            f"{name} must be built on the host, which lacks {header[1] or header[2]}. Add the Debian package that "
            "contains it to release_system_packages, as well as gcc and python3-dev. `apt-file search` finds the "
            "package"
        )
    return None


def other_version(matches: Matches, given: Given) -> tuple[str, str]:
    """A package whose source fails to build for a reason of its own."""
    name, version = matches[0][1], matches[0][2]
    plain = re.fullmatch(r"[\w.+!]+", version)
    except_for = f'"{name}!={version}"' if plain else f'"{name}>=…"'
    source = f"{name} {version}" if plain else name
    return "release_constraints", (
        f"The source of {source} does not build here, for the reason above. Choose a version that has a wheel for "
        f"this Python ({given.get('python') or 'the host has no other'}), in the project's requirements or with "
        f"release_constraints: [{except_for}]"
    )


def newer_python(matches: Matches, given: Given) -> str:
    """A package that is for a newer Python than the host's."""
    wanted = max((one[2] for one in matches), key=lambda one: [int(part) for part in one.split(".")])
    short = ".".join(wanted.split(".")[:2])
    return (
        f"The project's packages need Python {wanted} or newer, but the host has {matches[0][1]}. Write "
        f'release_python: "{short}", with release_python_download: true if the host does not have it. Debian '
        "12 has 3.11, Debian 13 has 3.13. Or ask for older versions of these packages"
    )


def older_python(matches: Matches, given: Given) -> str | None:
    """A package whose wheels are for other Pythons than the host's."""
    name, tags = matches[0][1], re.findall(r"`cp(\d)(\d+)\w*`", matches[0][2])
    if not tags or re.search(ELSEWHERE, matches[0].string, re.MULTILINE):
        return None
    newest = max((int(major), int(minor)) for major, minor in tags)
    return (
        f"{name} has wheels for Python up to {newest[0]}.{newest[1]} only. Choose a newer version of it, or write "
        f'release_python: "{newest[0]}.{newest[1]}" and release_python_download: true'
    )


def unreachable(matches: Matches, given: Given) -> str:
    """An index that the host does not reach."""
    hosts = re.findall(r"https?://(?:\*\*\*@)?([^/\s)`]+)", matches[0].string)
    return (
        f"The host does not reach {hosts[0] if hosts else 'the package index'}. Let it through the network, or name an "
        "index that it can reach: release_index"
    )


INSTALL = (
    row(r"UnknownIssuer|invalid peer certificate|CERTIFICATE_VERIFY_FAILED|self-signed certificate",
        "base_ca_certificates",
        "The host does not trust the authority of the index's certificate. Write the path of the authority's "
        "certificate on this machine: "
        "base_ca_certificates: [/path/to/authority.crt]", "network"),
    row(r"\b(401|403|407) (?:Unauthorized|Forbidden|Proxy)|status code.*\b(401|403)\b|\((401|403) ",
        "release_index",
        "An index refuses the credentials in release_index or release_extra_indexes. Correct them", "network"),
    row(r"dns error|failed to lookup address|tcp connect error|client error \(Connect\)|operation timed out|"
        r"Request failed after \d+ retries", "release_index", unreachable, "network"),
    row(r"Git executable not found", "base_extra_packages",
        "A package comes from git. Write base_extra_packages: [git]", "network"),
    row(r"could not read Username|Permission denied \(publickey|Authentication failed for|Repository not found|"
        r"Host key verification failed", "release_packages",
        "A package comes from a git repository that does not let the host in. Write its address with a token from the "
        "vault, https://user:TOKEN@…, into the project's requirements or release_packages. For ssh, the keys and "
        "known_hosts are those in /srv/APP/build/.ssh on the host", "network"),
    row(r"the current Python version \((\d[\d.]*)\) does not satisfy Python>=(\d+\.\d+[\d.]*)", "release_python",
        newer_python),
    row(r"we only found wheels for `([\w.-]+)` \([^)]*\) with the following Python (?:ABI )?tags?: (.*)",
        "release_python", older_python),
    row(ELSEWHERE, "release_requirements",
        "{1} is not available for Linux. In the project's requirements, write a condition after it: "
        "{1}; sys_platform == \"win32\"", "release_python"),
    row(r"Hash mismatch for `([^`]+)`", "release_index",
        "The index has another file of {1} than the project's requirements were locked with. Lock them again, or name "
        "the index that they were locked from: release_index"),
    row(r"^\s*(?:cause: )?(?:Because|And because) ([\w.-]+) was not found in the package registry",
        "release_extra_indexes",
        "No index that the host asks has {1}. Correct its name in the project's requirements. If it is private, name "
        "its index: release_extra_indexes", "versions"),
    row(r"there (?:is|are) no versions? of ([\w.-]+)((?:[=<>!~]=?|===)\S+)", "release_constraints",
        "No index that the host asks has {1}{2}. Write a version that exists in the project's requirements. If it is "
        "private, name its index: release_extra_indexes", "versions"),
    row(r"Failed to resolve requirements from `build-system.requires`", "release_constraints",
        "A package needs build dependencies that are no longer available. Choose another version of it, in the "
        "project's requirements or with release_constraints", "versions"),
    row(r"Distribution not found at: (?:file://)?(\S+)|^error: `([^`]+)` does not appear to be a Python project",
        "release_requirements",
        "{1}{2} is in no release: it is not in the project's source, or git ignores it. Remove it from the project's "
        "requirements, or add it to the source", "versions"),
    row(r"No solution found", "release_constraints",
        "The required versions conflict, as explained above. Change one of them in the project's requirements; "
        "release_constraints can set the versions of indirect dependencies", "versions", vague=True),
    # What a build lacks, in all spellings.
    row(FAILED, "release_system_packages", builds, "build"),
    row(r"No module named 'pkg_resources'", "release_constraints",
        'A package that is built here needs a setuptools older than 81. Write release_constraints: ["setuptools<81"], '
        "which also applies to builds", "build"),
    row(r"has no attribute 'cython_sources'|Cython\.Compiler\.Errors", "release_constraints",
        'A package that is built here needs a Cython older than 3. Write release_constraints: ["cython<3"], which also '
        "applies to builds", "build"),
    row(r"use_2to3 is invalid", "release_constraints",
        "A package is written for Python 2. Choose a newer version of it, or its successor", "build"),
    row(r"No module named 'distutils", "release_system_packages",
        "A package that is built here needs distutils, which is a separate package in Debian 12: write "
        "release_system_packages: [python3-distutils]. Python 3.12 and later do not have it: choose a newer version of "
        "the package", "build"),
    row(r"`?([\w.-]+)(?:@[^`]*)?` depends on `([\w.-]+)`, but doesn't declare it", "release_constraints",
        "The source of {1} does not declare that its build needs {2}, so the build fails. Choose a version of it that "
        "has a wheel, in the project's requirements or with release_constraints", "build"),
    row(r"metadata name `([^`]+)` does not match given name `([^`]+)`", "release_packages",
        "The package required as {2} calls itself {1}. Write {1} in the project's requirements", "build"),
    row(r"`([^`]+)` has a non-PEP 625-compliant filename|Metadata for `([\w.-]+)` .*was inconsistent|"
        r"metadata version `[^`]*` does not match given version|Failed to extract archive: (\S+)",
        "release_constraints",
        "uv refuses a source because of the way it was packed, as explained above. Choose a newer version of the "
        "package, in the project's requirements or with release_constraints", "build"),
    row(FAILED, "release_constraints", other_version, "build", vague=True),
    row(r"^error: ", "release_requirements",
        "Correct what it names above in the files of release_requirements, or in release_packages", vague=True),
)  # fmt: skip
