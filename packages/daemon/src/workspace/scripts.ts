// Owns the shell scripts that run git over a job's folder. Fixed texts: what varies comes as arguments, standard input or files, never inside them.

/**
 * The first state: the index as it was copied, as a commit. Entries that say nothing certain about the bytes on disk are dropped from it first (conflicts,
 * entries the owner told git not to look at, files that a filter converts), so that the next look reads them. $1: `reread` = no entry is certain.
 * The list is taken once: with 200,000 entries each reading of the index costs a tenth of a `git status`. Out: the commit, NUL, then what `look` gives.
 */
export const begin = `
git write-tree --missing-ok > /shadow/tree 2>/dev/null || {
  git ls-files -u -z | sed -z 's/^[^\\t]*\\t//' | sort -zu | git update-index -z --force-remove --stdin
  git write-tree --missing-ok > /shadow/tree
}
git ls-files -v -z > /tmp/all
: > /shadow/converted
if grep -zqaE '^[a-z]|^. (.*/)?\\.gitattributes$' /tmp/all || [ -s "$GIT_DIR/info/attributes" ]; then
  { grep -za '^[a-z]' /tmp/all || true; } | sed -z 's/^. //' > /tmp/unwatched
  [ ! -s /tmp/unwatched ] || git update-index -z --no-assume-unchanged --stdin < /tmp/unwatched
  sed -z 's/^. //' /tmp/all > /tmp/names
  { { grep -zaE '(^|/)\\.gitattributes$' /tmp/names || true; } | xargs -0 -r cat -- 2>/dev/null || true; cat "$GIT_DIR/info/attributes"; } > /tmp/attributes
  if grep -qaE 'filter|eol|ident|encoding' /tmp/attributes; then
    git check-attr -z --stdin filter eol ident working-tree-encoding < /tmp/names | paste -z -d "$(printf '\\001')" - - - \\
      | { grep -zavE "$(printf '\\001')(unspecified|unset)$" || true; } | sed -z 's/\\x01[^\\x01]*\\x01[^\\x01]*$//' > /shadow/converted
  fi
  # A text file may lie on disk with other line ends than in the index and still count as unchanged.
  if grep -qaE 'text|crlf' /tmp/attributes; then
    git ls-files -z --eol | { grep -zavE '^i/([^ ]*) +w/\\1 +attr/' || true; } | sed -z 's/^[^\\t]*\\t//' >> /shadow/converted
  fi
  sort -zu -o /shadow/converted /shadow/converted
  [ ! -s /shadow/converted ] || git update-index -z --force-remove --stdin < /shadow/converted
fi
rm -f /tmp/all /tmp/names /tmp/attributes
cp /shadow/attributes "$GIT_DIR/info/attributes"
tree=$(cat /shadow/tree)
[ ! -s /shadow/converted ] || tree=$(git write-tree --missing-ok)
[ "$1" != reread ] || git read-tree "$tree"
new=$(git commit-tree "$tree" -m 'before the job')
git update-ref HEAD "$new"
printf '%s\\0' "$new"
exec git status --porcelain=v2 -z --untracked-files=all --no-renames --ignore-submodules=all
`

export const look = 'exec git status --porcelain=v2 -z --untracked-files=all --no-renames --ignore-submodules=all'

/**
 * Takes the paths of standard input as they are on disk, and those of /shadow/gone out, and commits. $1: the message.
 * (Out by name: git would look behind a link that now stands in a folder's place.) Files that may not be read stay out and their number is told. Out: `same COMMIT` or `new COMMIT`, ` SKIPPED`, newline, then the counts of lines.
 */
export const commit = `
: > /shadow/skipped
[ ! -s /shadow/gone ] || git update-index -z --force-remove --stdin < /shadow/gone
xargs -0 -r sh -c 'for f; do if [ -f "$f" ] && [ ! -L "$f" ] && [ ! -r "$f" ]; then printf "%s\\0" "$f" >> /shadow/skipped; else printf "%s\\0" "$f"; fi; done' sh \\
  | git update-index -z --add --remove --replace --stdin
skipped=$(tr -cd '\\000' < /shadow/skipped | wc -c)
tree=$(git write-tree --missing-ok)
old=$(git rev-parse -q --verify HEAD)
if [ "$(git rev-parse -q --verify 'HEAD^{tree}')" = "$tree" ]; then echo "same $old $skipped"; exit 0; fi
new=$(git commit-tree "$tree" -p "$old" -m "$1")
git update-ref HEAD "$new" "$old"
echo "new $new $skipped"
exec git diff-tree -r -z --numstat --no-renames "$old" "$new"
`

/** The newest kept state and its message, when it is another one than $1. */
export const newest = `
head=$(git rev-parse -q --verify HEAD)
[ "$head" != "$1" ] || exit 0
git merge-base --is-ancestor "$1" "$head"
git log -1 --format='%H %s' HEAD
exec git diff-tree -r -z --numstat --no-renames "$head^" "$head"
`

/** The paths in which two states differ. */
export const differences = 'exec git diff-tree -r -z --raw --no-renames --no-abbrev "$1" "$2"'
export const counts = 'exec git diff-tree -r -z --numstat --no-renames "$1" "$2"'
export const patch = 'exec git diff --binary --full-index --no-renames --no-ext-diff --no-textconv --no-color --src-prefix=a/ --dst-prefix=b/ "$1" "$2"'
/** The same for readers, of the named files only: a binary file is a line. $1, $2: the states. */
export const textPatch = 'old=$1 new=$2; shift 2; exec git --literal-pathspecs diff --no-renames --no-ext-diff --no-textconv --no-color --src-prefix=a/ --dst-prefix=b/ "$old" "$new" -- "$@"'

/**
 * Changes the folder, whose present state is HEAD, by the index lines of standard input. git refuses the whole when a file is not as HEAD has it.
 * /shadow/paths: the files that are written. $1: the message. Their permissions stay; whether they may be executed is what the state says.
 */
export const change = `
cp /shadow/index /shadow/index.next
GIT_INDEX_FILE=/shadow/index.next git update-index -z --replace --index-info
tree=$(GIT_INDEX_FILE=/shadow/index.next git write-tree)
rm -f /shadow/index.next
xargs -0 -r stat --printf '%a\\0%n\\0' -- < /shadow/paths > /shadow/modes 2>/dev/null || true
if ! git read-tree -m -u HEAD "$tree" 2>/shadow/said; then
  grep -q 'ntracked working tree' /shadow/said || { cat /shadow/said >&2; exit 71; }
  git read-tree --reset -u "$tree"
fi
xargs -0 -r sh -c 'while [ $# -gt 1 ]; do
  case $1 in 644|755) ;; *) if [ -f "$2" ] && [ ! -L "$2" ]; then if [ -x "$2" ]; then x=u+x; else x=a-x; fi; chmod "$1" -- "$2"; chmod "$x" -- "$2"; fi ;; esac
  shift 2; done' sh < /shadow/modes
old=$(git rev-parse HEAD)
new=$(git commit-tree "$tree" -p "$old" -m "$1")
git update-ref HEAD "$new" "$old"
git update-index -q --refresh || true
echo "$new"
`

/** Writes a state into the empty folder /copy, and its index in place of the one that looked at the owner's folder. */
export const checkout = `
export GIT_WORK_TREE=/copy GIT_INDEX_FILE=/shadow/index.copy
git read-tree "$1"
cd /copy
git checkout-index -a -f -u
mv /shadow/index.copy /shadow/index
`

/** A repository for the tools in /copy, on the owner's commit $1; its index knows the files that were just written. Its objects are the owner's, seen as /objects. */
export const ownIndex = `
cp /shadow/index /copy/.git/index
export GIT_DIR=/copy/.git GIT_WORK_TREE=/copy GIT_INDEX_FILE=/copy/.git/index
if [ -n "$1" ]; then git read-tree -m "$1"; else git read-tree --empty; fi
git update-index --no-untracked-cache
`

/**
 * A branch of two commits at most on the owner's commit $1 (empty: none): what was not committed yet (/shadow/before), then the job's work
 * (/shadow/work). Objects and a ref are added to the owner's repository; nothing that is there is changed. $2, $3: messages; $4: the branch.
 * A branch that is there with this very content was made before a crash, and is the answer.
 */
export const branch = `
export GIT_INDEX_FILE=/shadow/index.branch
rm -f "$GIT_INDEX_FILE"
last=$1
if [ -n "$1" ]; then git read-tree "$1"; else git read-tree --empty; fi
for part in before work; do
  [ -s "/shadow/$part" ] || continue
  git update-index -z --replace --index-info < "/shadow/$part"
  message=$2; [ "$part" = before ] || message=$3
  last=$(git commit-tree "$(git write-tree --missing-ok)" \${last:+-p "$last"} -m "$message")
done
rm -f "$GIT_INDEX_FILE"
ref=/refs/$4
if [ -f "$ref" ] && old=$(cat "$ref") && [ "$(git rev-parse -q --verify "$old^{tree}")" = "$(git rev-parse "$last^{tree}")" ]; then
  echo "$old"
  exit 0
fi
{ echo "$last"; [ -z "$1" ] || echo "^$1"; } | git pack-objects --revs --stdout -q > /shadow/branch.pack
GIT_OBJECT_DIRECTORY=/objects git index-pack --stdin < /shadow/branch.pack > /dev/null
rm -f /shadow/branch.pack
mkdir -p "\${ref%/*}"
[ ! -e "$ref" ]
echo "$last" > "$ref.lock"
mv "$ref.lock" "$ref"
echo "$last"
`

/** How large a folder is, as far as counting goes: 1-KiB blocks, then entries. */
export const measure = `du -sk --apparent-size -x . | cut -f1; find . -xdev | head -n 2000001 | wc -l`
/** A copy that shares its blocks with the original where the file system can. Links stay links, but for a .git that leads elsewhere. */
export const copyAll = `
cp -a --reflink=auto -- /work/. /copy/
if [ -L /copy/.git ] || [ -f /copy/.git ]; then rm -f /copy/.git; fi
`
