// Owns the guess at a project's own test command, from the files that every ecosystem keeps it in. Pure; what it guesses is shown and never run by itself.

/** `files`: manifests of the folder's top level by name; `folders`: names of test folders there. Null = nothing says how to test. */
export function guessCheck(files: ReadonlyMap<string, string>, folders: ReadonlySet<string>): string | null {
  const node = nodeTest(files)
  if (node !== null) return node
  if (files.has('Cargo.toml')) return 'cargo test'
  if (files.has('go.mod')) return 'go test ./...'
  if (isPython(files, folders)) return files.has('tox.ini') && !/\[(tool:)?pytest\]/.test(files.get('tox.ini') ?? '') ? 'tox' : 'python3 -m pytest -q'
  if (files.has('mix.exs')) return 'mix test'
  if (files.has('gradlew')) return './gradlew test'
  if (files.has('pom.xml')) return 'mvn -q test'
  if (/"test"\s*:/.test(scriptsOf(files.get('composer.json')))) return 'composer test'
  if (/\brspec\b/.test(files.get('Gemfile') ?? '') && folders.has('spec')) return 'bundle exec rspec'
  for (const name of ['Makefile', 'makefile']) {
    const target = /^(test|check)\s*:/m.exec(files.get(name) ?? '')?.[1]
    if (target !== undefined) return `make ${target}`
  }
  return null
}

function nodeTest(files: ReadonlyMap<string, string>): string | null {
  const manifest = files.get('package.json')
  if (manifest === undefined) return files.has('deno.json') ? 'deno test' : null
  let test: unknown
  try {
    const parsed: unknown = JSON.parse(manifest)
    const scripts = typeof parsed === 'object' && parsed !== null && 'scripts' in parsed ? parsed.scripts : null
    test = typeof scripts === 'object' && scripts !== null && 'test' in scripts ? scripts.test : null
  } catch {
    return null
  }
  // npm writes this one into every new project.
  if (typeof test !== 'string' || test.trim() === '' || test.includes('no test specified')) return null
  return files.has('pnpm-lock.yaml') ? 'pnpm test' : files.has('yarn.lock') ? 'yarn test' : files.has('bun.lock') ? 'bun run test' : 'npm test'
}

function isPython(files: ReadonlyMap<string, string>, folders: ReadonlySet<string>): boolean {
  if (files.has('pytest.ini') || files.has('tox.ini') || /\[tool:pytest\]/.test(files.get('setup.cfg') ?? '')) return true
  const pyproject = files.get('pyproject.toml') ?? ''
  if (/\[tool\.pytest|\bpytest\b/.test(pyproject)) return true
  return (files.has('pyproject.toml') || files.has('setup.py')) && (folders.has('tests') || folders.has('test'))
}

function scriptsOf(manifest: string | undefined): string {
  return manifest === undefined ? '' : /"scripts"\s*:\s*\{[^}]*\}/.exec(manifest)?.[0] ?? ''
}
