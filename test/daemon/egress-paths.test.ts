// Which files may never be in a packet, by name.
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { namesOfFile } from '../../packages/daemon/src/egress/links.ts'
import { neverLeaves } from '../../packages/daemon/src/egress/paths.ts'

const nobody = { owner: [], localOnly: [] }

test('files that hold keys by custom never leave, however their name is written', () => {
  for (const path of [
    '.env', 'a/.env', '.env.local', '.env.production', 'prod.env', '.envrc', 'server.pem', 'tls/server.key', 'deploy.p12', 'store.jks', 'k.ppk', 'db.kdbx', 'id_rsa', '.ssh/id_ed25519', 'keys/id_rsa.bak', '.ssh/config', '.ssh/known_hosts',
    'home/.aws/credentials', '.aws/config', '.kube/config', '.gnupg/x', '.docker/config.json', '.config/gcloud/x.json', '.netrc', '_netrc', '.git-credentials', '.npmrc', 'a/.pypirc', '.pgpass', 'kubeconfig', 'dev.kubeconfig', 'terraform.tfstate',
    'terraform.tfstate.backup', 'prod.tfvars', '.terraform/x', 'config/master.key', 'config/secrets.yml', 'service-account-prod.json', 'client_secret_1.json', '.bash_history', 'etc/shadow', 'backup_rsa', 'ssh_host_rsa_key', '.cargo/credentials.toml',
    '.ENV', 'Server.PEM', './a/../.env', 'a//.env', 'a\\.env', '.env.', '.env ', '.\u200benv', '．env', '/home/me/.ssh/id_rsa', '../../.aws/credentials', '.git/config',
  ]) assert.notEqual(neverLeaves([path], nobody), null, path)
})

test('files that are only named alike may leave', () => {
  for (const path of [
    'src/env.ts', 'environment.md', '.env.example', 'config/.env.sample', 'id_generator.py', 'id_utils.ts', 'src/keys.ts', 'keyboard.key.ts', 'README.md', 'id_rsa.pub', 'docs/ssh.md', 'src/secrets/parse.ts', 'credentials.ts', 'aws/main.tf',
    'variables.tf', 'prod.tfvars.example', 'package-lock.json', 'src/shadow.ts', 'kubeconfig.ts.md'.replace('kubeconfig.', 'kube-config.'), '.github/workflows/ci.yml', '.gitignore', 'token.go', 'monkey', 'a/b/passwords.test.ts',
  ]) assert.equal(neverLeaves([path], nobody), null, path)
})

test('the reason names the rule, and a link is asked for both of its names', () => {
  assert.deepEqual(neverLeaves(['notes.txt', 'home/me/keys/id_rsa'], nobody), { rule: 'name', glob: '**/id_{rsa,dsa,ecdsa,ed25519,ecdsa_sk,ed25519_sk,xmss}*', why: 'SSH key' })
  assert.deepEqual(neverLeaves(['.env.example'], { owner: ['.env.*'], localOnly: [] }), { rule: 'owner', glob: '.env.*', why: 'the owner keeps it here (escalation.neverPaths)' })
  assert.deepEqual(neverLeaves(['data/2026/a.csv'], { owner: [], localOnly: ['data/'] }), { rule: 'project', glob: 'data/', why: 'its project keeps it here (local-only)' })
})

test("globs of the owner: a name at any depth, a path from the folder, a folder with all in it", () => {
  const covers = (glob: string, path: string): boolean => neverLeaves([path], { owner: [glob], localOnly: [] }) !== null
  assert.ok(covers('*.sql', 'a/b/dump.sql') && covers('customers', 'x/customers/list.md') && covers('src/private/**', 'src/private/a/b.ts') && covers('src/private', 'src/private/b.ts') && covers('./Data/*.CSV', 'data/x.csv') && covers('data/**/raw-??.bin', 'data/a/raw-01.bin'))
  assert.ok(!covers('src/private/**', 'lib/src/private/a.ts') && !covers('*.sql', 'a/sql.ts') && !covers('data/*.csv', 'data/a/x.csv'))
})

test('every name that links give a file is asked for, as the sandbox follows them', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'hearth-links-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  mkdirSync(join(folder, 'private/deep'), { recursive: true })
  mkdirSync(join(folder, 'docs'))
  const link = (name: string, target: string): void => symlinkSync(target, join(folder, name))
  link('notes.txt', 'private/a.csv')
  link('twice.txt', './docs/../notes.txt')
  link('docs/up.txt', '../Private/A.csv')
  link('inside.txt', '/work/private/a.csv')
  link('folder', 'private/deep')
  link('outside.txt', '/home/me/.ssh/id_rsa')
  link('above.txt', '../../etc/shadow')
  link('round.txt', 'round.txt')
  link('plain.txt', 'docs/readme.md')
  const kept = (path: string): string => neverLeaves(namesOfFile(folder, path), { owner: ['private/'], localOnly: [] })?.why ?? ''
  const owner = 'the owner keeps it here (escalation.neverPaths)'
  assert.deepEqual(
    ['notes.txt', 'twice.txt', 'docs/up.txt', 'inside.txt', 'folder/x', 'folder/../a.csv', 'docs/../notes.txt', 'private/a.csv'].map(kept), Array.from({ length: 8 }, () => owner))
  assert.deepEqual(['outside.txt', 'above.txt'].map(kept), ['folder of credentials', 'accounts of this system'])
  // One in a circle is read by nobody; the others have nothing against them.
  assert.deepEqual(['round.txt', 'plain.txt', 'docs/readme.md', 'none/at/all', '../elsewhere'].map(kept), ['', '', '', '', ''])
  assert.deepEqual(namesOfFile(folder, 'twice.txt'), ['twice.txt', 'docs/../notes.txt', 'private/a.csv'].map((name) => name.replace('docs/../', '')))
})
