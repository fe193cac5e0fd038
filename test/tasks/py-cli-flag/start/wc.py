#!/usr/bin/env python3
"""Counts words."""
import argparse
import sys


def count(path):
    with open(path, encoding="utf-8") as file:
        return len(file.read().split())


def main(argv):
    parser = argparse.ArgumentParser(description="counts words")
    parser.add_argument("files", nargs="+")
    args = parser.parse_args(argv)
    total = 0
    for path in args.files:
        words = count(path)
        total += words
        print(f"{words:8} {path}")
    if len(args.files) > 1:
        print(f"{total:8} total")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
