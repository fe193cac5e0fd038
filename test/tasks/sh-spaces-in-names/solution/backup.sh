#!/bin/sh
# usage: backup.sh FROM TO
set -e
mkdir -p -- "$2"
find "$1" -type f -name '*.txt' -exec cp -- {} "$2"/ \;
