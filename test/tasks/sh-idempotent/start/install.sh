#!/bin/sh
# Installs the tool into the folder $1.
set -e
target=$1
mkdir "$target/bin"
printf '#!/bin/sh\necho tool\n' > "$target/bin/tool"
chmod 755 "$target/bin/tool"
echo 'export PATH="$PATH:$HOME/bin"' >> "$target/profile"
echo 'alias t=tool' >> "$target/profile"
