# `make help` lists the targets. Everything works on a fresh Debian 12 (and newer, and Fedora) with Rust.

PREFIX ?= /usr/local
DESTDIR ?=
CARGO ?= cargo
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
BTC := target/release/btc

APT_BUILD := llvm-22-dev libclang1-22 libelf-dev zlib1g-dev libzstd-dev pkg-config gcc make
APT_TEST := bpftrace clang-22 g++ qemu-system-x86 qemu-system-arm busybox-static cpio lz4 xz-utils zstd tcpdump
DNF_BUILD := llvm22-devel clang22-libs elfutils-libelf-devel elfutils-libelf-devel-static zlib-ng-compat-devel \
	zlib-ng-compat-static libzstd-devel libzstd-static glibc-static pkgconf-pkg-config gcc make
DNF_TEST := bpftrace clang gcc-c++ qemu-system-x86-core qemu-system-aarch64-core busybox cpio lz4 xz zstd tcpdump

.PHONY: help deps test-deps build demo test bench reference install uninstall

help:
	@echo 'make deps     install the system packages that btc needs (apt or dnf)'
	@echo 'make build    build btc: $(BTC)'
	@echo 'make demo     compile tools/opensnoop.bt and run it for a few seconds'
	@echo 'make test     run all tests (as root), with the packages that they need'
	@echo 'make bench    compare with bpftrace'
	@echo 'make reference makes compiler/reference anew, from a kernel in a guest'
	@echo 'make install  install btc below PREFIX ($(PREFIX)) and DESTDIR'

# Installs what is missing of $(1) with apt or of $(2) with dnf; nothing is asked of the network when nothing is.
define install_missing
	@if command -v apt-get >/dev/null; then \
		missing=; \
		for p in $(1); do dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$p"; done; \
		if [ -n "$$missing" ]; then echo "installing:$$missing"; \
			$(SUDO) apt-get update -qq && DEBIAN_FRONTEND=noninteractive $(SUDO) apt-get install -y -qq --no-install-recommends $$missing; fi; \
	elif command -v dnf >/dev/null; then \
		missing=; \
		for p in $(2); do rpm -q --whatprovides $$p >/dev/null 2>&1 || missing="$$missing $$p"; done; \
		if [ -n "$$missing" ]; then echo "installing:$$missing"; $(SUDO) dnf install -y -q $$missing; fi; \
	else \
		echo 'neither apt-get nor dnf: install LLVM 22 (headers), libclang, static libelf, zlib and zstd, pkg-config, gcc, make'; \
	fi
	@command -v $(CARGO) >/dev/null || { echo 'no cargo on PATH: install Rust (https://rustup.rs)'; exit 1; }
endef

deps:
	$(call install_missing,$(APT_BUILD),$(DNF_BUILD))

test-deps:
	$(call install_missing,$(APT_BUILD) $(APT_TEST),$(DNF_BUILD) $(DNF_TEST))

build:
	$(CARGO) build --release --locked --package btc

demo: deps build
	@mkdir -p target/demo
	$(BTC) tools/opensnoop.bt -o target/demo/opensnoop
	@ls -l target/demo/opensnoop; ldd target/demo/opensnoop 2>&1 || true
	@echo 'running it for 3 seconds beside a few commands:'
	@(sleep 1; cat /etc/hostname /etc/passwd >/dev/null; ls /tmp >/dev/null) & \
		$(SUDO) timeout --signal=INT --preserve-status 3 target/demo/opensnoop

# Ends with the line `N passed, N failed, N skipped`.
test: test-deps
	@.ci/test

bench: deps test-deps build
	$(CARGO) bench --profile dev --locked --package btc-tests --bench ratios -- $(PARTS)

# What btc knows of kernels where it runs without one; see compiler/reference/README.md.
reference: test-deps
	$(CARGO) run --locked --package btc-tests --bin reference

install: build
	install -D -m 755 $(BTC) $(DESTDIR)$(PREFIX)/bin/btc
	install -D -m 644 README.md $(DESTDIR)$(PREFIX)/share/doc/btc/README.md

uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/btc
	rm -rf $(DESTDIR)$(PREFIX)/share/doc/btc
