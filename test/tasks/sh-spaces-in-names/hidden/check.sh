set -e
cd /tmp && mkdir -p 'in here/sub dir' empty
echo 1 > 'in here/a b.txt'; echo 2 > 'in here/sub dir/-n.txt'; echo 3 > 'in here/c.md'; echo 4 > 'in here/plain.txt'
sh /work/backup.sh 'in here' 'out there'
[ "$(ls 'out there' | wc -l)" = 3 ] && [ "$(cat 'out there/a b.txt')" = 1 ] && [ "$(cat './out there/-n.txt')" = 2 ] && [ "$(cat 'out there/plain.txt')" = 4 ]
sh /work/backup.sh empty none && [ -z "$(ls none)" ]
cd 'in here' && sh /work/backup.sh . ../second && [ "$(ls ../second | wc -l)" = 3 ]
