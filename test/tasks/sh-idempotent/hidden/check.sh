set -e
mkdir '/tmp/a b' && cd /tmp
printf 'export EDITOR=vi\nalias t=tool # mine\n' > '/tmp/a b/profile'
sh /work/install.sh '/tmp/a b'
cp -a '/tmp/a b' first
sh /work/install.sh '/tmp/a b'; sh /work/install.sh '/tmp/a b'
diff -r first '/tmp/a b'
printf 'export EDITOR=vi\nalias t=tool # mine\nexport PATH="$PATH:$HOME/bin"\nalias t=tool\n' | cmp - '/tmp/a b/profile'
[ "$('/tmp/a b/bin/tool')" = tool ]
