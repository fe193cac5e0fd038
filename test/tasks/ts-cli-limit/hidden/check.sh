set -e
cd /tmp; seq 30 > n.txt
[ "$(node /work/head.ts n.txt | wc -l)" = 10 ]
[ "$(node /work/head.ts n.txt --lines 3 | tail -1)" = 3 ]
[ "$(node /work/head.ts --lines=2 n.txt | wc -l)" = 2 ]
[ -z "$(node /work/head.ts --lines 0 n.txt)" ]
for wrong in x -1 1.5 ''; do
  code=0; node /work/head.ts n.txt "--lines=$wrong" 2> err > out || code=$?
  [ $code = 64 ] && [ ! -s out ] && [ "$(cat err)" = 'head: --lines takes a whole number from 0' ]
done
code=0; node /work/head.ts 2> err || code=$?
[ $code = 64 ]
