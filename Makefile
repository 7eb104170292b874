# jittask: `make help` says what there is. The work is done by the scripts in tools/, which say what they do.
SHELL := /bin/bash
# The server to build for: a pg_config (used where it is, see tools/headers), or 18, 15 (private servers, see tools/server).
# Empty: one that is found.
PG_CONFIG ?=
SERVER = $(or $(PG_CONFIG),auto)
# The pg_config of a system's server, for `make install`.
SYSTEM_PG_CONFIG = $(or $(PG_CONFIG),$(shell command -v pg_config || ls -v /usr/lib/postgresql/*/bin/pg_config 2>/dev/null | tail -n 1))

.DEFAULT_GOAL := help
.PHONY: help build install test test-pg15 test-pg18 check-16 soak lint format bench bench-quick bench-crate demo demo-stop clean

help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 20
	@echo 'PG_CONFIG=/path/to/pg_config names the server for build, install and demo. build and install use it where it is:'
	@echo 'nothing of it is copied, and nothing is written but what install installs. demo makes a private copy of its programs.'

build: ## the extension's library
	@tools/build $(SERVER)

install: ## into an existing server, PG_CONFIG=…, below DESTDIR if given
	@if [ -z '$(SYSTEM_PG_CONFIG)' ]; then echo 'error: no pg_config found: make install PG_CONFIG=/path/to/pg_config' >&2; exit 1; fi
	@DESTDIR='$(DESTDIR)' tools/install --into '$(SYSTEM_PG_CONFIG)'
	@echo "Now set shared_preload_libraries = 'jittask', restart the server, and in a database: create extension jittask;"

test: ## all tests on both servers, PostgreSQL 15 and 18
	@tools/test

test-pg15: ## all tests on PostgreSQL 15
	@tools/test 15

test-pg18: ## all tests on PostgreSQL 18
	@tools/test 18

soak: ## an hour of load, kills and DDL on PostgreSQL 18; the numbers go into tests/SOAK.md
	@tools/soak

bench: ## jittask against what a user would pick instead; about an hour. SERVER=15, MEASURES="rows", SCALE=0.1
	@tools/bench

bench-quick: ## the two-minute form of CI: fails when a ratio falls by 30 %
	@tools/bench --quick

bench-crate: ## micro-benchmarks of crates/schedule
	@cargo bench --package schedule

check-16: ## compiles the library for PostgreSQL 16, of which there is no test
	@tools/with-server 16 cargo check --release --package jittask --no-default-features --features pg16

lint: ## formatting, clippy, and the project's own rules
	@tools/lint

format: ## formats the Rust code
	@cargo fmt --all

demo: ## a throw-away server where tasks run; left running to play with
	@PG_CONFIG='$(PG_CONFIG)' tools/demo

demo-stop: ## stops and removes the demo's server
	@tools/demo stop

clean: ## removes all that was built; private servers stay in .cache/servers
	rm -rf target .cache/target tests/output*
