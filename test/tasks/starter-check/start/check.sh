#!/bin/sh
[ -f train.txt ] || { echo 'train.txt is missing. It must say: The train leaves at nine'; exit 1; }
[ "$(cat train.txt)" = 'The train leaves at nine' ] || { echo 'train.txt is wrong. It must say: The train leaves at nine'; exit 1; }
echo ok
