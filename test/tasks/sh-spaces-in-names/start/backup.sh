#!/bin/sh
# usage: backup.sh FROM TO
mkdir -p $2
for file in $(find $1 -name *.txt); do
  cp $file $2/$(basename $file)
done
