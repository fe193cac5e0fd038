// Owns the table of hostile programs: each is run for real and must be denied, ended inside its limits, and leave nothing.
// Run by hostile.test.ts in this process (strict and weak) and, by as-user.ts, in a process of an ordinary user.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { Config, type Limits, type RunResult, type RunSpec, type Sandbox } from '@hearth/protocol'
import { createSandbox } from '../../packages/sandbox/src/index.ts'

const MiB = 2 ** 20

export const limits: Limits = { memoryBytes: 256 * MiB, pids: 48, wallMs: 20_000, outputBytes: 4 * MiB, tmpBytes: 8 * MiB, fileBytes: 16 * MiB }

export type Place = {
  sandbox: Sandbox & { close(): Promise<void> }
  /** What enforces limits in this round. */
  weak: boolean
  root: string
  stateDir: string
  workspace: string
  lines: string[]
  run(argv: readonly string[], more?: Partial<RunSpec>): Promise<Extract<RunResult, { ok: true }>>
  remove(): Promise<void>
}

/** A sandbox with folders of its own. Without `weak` the box's own limits are used; with it there is no control group. */
export function makePlace(weak: boolean, readOnlyPaths: string[] = []): Place {
  const root = mkdtempSync(join(tmpdir(), 'hearth-sandbox-'))
  const stateDir = join(root, 'state')
  const workspace = join(root, 'work')
  for (const folder of [stateDir, workspace, join(root, 'no-cgroups')]) mkdirSync(folder)
  writeFileSync(join(stateDir, 'hearth.db'), 'SECRET-DATABASE')
  const lines: string[] = []
  const sandbox = createSandbox({
    config: Config.parse({ sandbox: { limits: weak ? 'weak' : 'strict', readOnlyPaths } }).sandbox,
    stateDir, log: (line) => lines.push(line), ...(weak ? { cgroupRoot: join(root, 'no-cgroups') } : {}),
  })
  return {
    sandbox, weak, root, stateDir, workspace, lines,
    async run(argv, more = {}) {
      const result = await sandbox.run({ argv, workspace, limits, captureBytes: 65_536, ...more }, new AbortController().signal)
      if (!result.ok) assert.fail(result.fault.message)
      return result
    },
    async remove() {
      await sandbox.close()
      rmSync(root, { recursive: true, force: true })
    },
  }
}

/** Pids of host processes whose command line holds the token. */
export function processesWith(token: string): number[] {
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map(Number).filter((pid) => {
    try {
      return pid !== process.pid && readFileSync(`/proc/${pid}/cmdline`, 'latin1').split('\0').some((word) => word === token)
    } catch {
      return false
    }
  })
}

let tokens = 0
/** An argument of sleep(1) that no other process has: about 1000 s. */
export const sleepToken = (): string => `1000.${process.pid}${String(tokens++).padStart(4, '0')}1`

const sh = (script: string): string[] => ['sh', '-c', script]

async function listening(server: Server, where: string | number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    if (typeof where === 'number') server.listen(where, '127.0.0.1', resolve)
    else server.listen(where, resolve)
  })
}

/** perl, because awk has no sockets and python is not on every box; perl-base is on each Debian. */
const connectUnix = (path: string): string[] => ['perl', '-MSocket', '-e', 'socket(S, AF_UNIX, SOCK_STREAM, 0) or die "socket $!"; connect(S, pack_sockaddr_un($ARGV[0] =~ s/^@/\\0/r)) or die "connect $!\\n"; print "connected"', path]
const connectInet = (port: number): string[] => ['perl', '-MSocket', '-e', 'socket(S, AF_INET, SOCK_STREAM, 0) or die "socket $!"; connect(S, pack_sockaddr_in($ARGV[0], inet_aton("127.0.0.1"))) or die "connect $!\\n"; print "connected"', String(port)]

export const table: readonly { name: string; try(place: Place): Promise<void> }[] = [
  { name: 'reads none of the host\'s files', async try({ run, stateDir, root }) {
    const home = join(root, 'home')
    mkdirSync(home)
    writeFileSync(join(home, 'key'), 'SECRET-KEY')
    chmodSync(join(home, 'key'), 0o644)
    for (const path of ['/etc/shadow', join(stateDir, 'hearth.db'), join(home, 'key')]) {
      const { exitCode, stdout, stderr } = await run(['cat', path])
      assert.deepEqual({ exitCode, out: stdout.text, err: stderr.text }, { exitCode: 1, out: '', err: `cat: ${path}: No such file or directory\n` })
    }
    for (const folder of [homedir(), '/root', '/home', '/run', '/var', '/sys', '/boot', '/srv'].filter((path) => path !== '/')) {
      assert.notEqual((await run(['ls', '-A', folder])).exitCode, 0, `${folder} can be listed`)
    }
    assert.equal((await run(['ls', '-A', '/'])).stdout.text.split('\n').filter((name) => !/^(bin|sbin|lib\w*|)$/.test(name)).join(' '), 'dev etc proc tmp usr work')
  } },
  { name: 'sees its own first process and no environment of ours', async try({ run }) {
    process.env['HEARTH_TEST_SECRET'] = 'SECRET-ENVIRONMENT'
    const { stdout } = await run(sh('cat /proc/1/comm; tr "\\0" "\\n" < /proc/1/environ; env; cat /proc/[0-9]*/environ'), { env: { EXTRA: 'given' } })
    delete process.env['HEARTH_TEST_SECRET']
    assert.match(stdout.text, /^bwrap\n/)
    assert.match(stdout.text, /^EXTRA=given$/m)
    assert.doesNotMatch(stdout.text, /SECRET|HEARTH/)
    const pids = (await run(sh('echo /proc/[0-9]*'))).stdout.text.trim().split(' ')
    assert.ok(pids.length <= 4, `it sees ${pids.join(' ')}`)
  } },
  { name: 'is one ordinary user without capabilities', async try({ run }) {
    const { stdout } = await run(sh('id; grep -E "^(CapPrm|CapEff|CapBnd|NoNewPrivs)" /proc/self/status; unshare -U true && echo NESTED; cat /proc/self/fdinfo/../oom_score_adj'))
    assert.equal(stdout.text, 'uid=1000(hearth) gid=1000(hearth) groups=1000(hearth)\n'.replace('groups=1000(hearth)', /groups=\S+/.exec(stdout.text)?.[0] ?? '?')
      + 'CapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nCapBnd:\t0000000000000000\nNoNewPrivs:\t1\n500\n')
  } },
  { name: 'inherits nothing but 0, 1 and 2', async try({ run }) {
    const { stdout } = await run(['perl', '-e', 'for my $fd (3 .. 255) { my $to = readlink "/proc/self/fd/$fd"; print "$fd $to\\n" if defined $to && $to ne "/dev/null" && $to !~ m{/proc/} }'])
    assert.equal(stdout.text, '')
  } },
  { name: 'writes nowhere but in the workspace and /tmp', async try({ run, workspace }) {
    for (const path of ['/x', '/usr/x', '/etc/x', '/etc/passwd', '/dev/x', '/proc/sys/kernel/hostname', '/proc/sysrq-trigger', '/bin/x']) {
      assert.notEqual((await run(sh(`echo x > ${path}`))).exitCode, 0, `${path} can be written`)
    }
    assert.equal((await run(sh('echo kept > kept; echo x > /tmp/x; echo x > /dev/shm/x; cat kept /tmp/x'))).stdout.text, 'kept\nx\n')
    assert.equal(readFileSync(join(workspace, 'kept'), 'utf8'), 'kept\n')
    assert.notEqual((await run(['cat', '/tmp/x'])).exitCode, 0, '/tmp is not private to one run')
    assert.notEqual((await run(sh('echo x > more'), { readOnly: true })).exitCode, 0)
  } },
  { name: 'changes nothing of the kernel or its devices', async try({ run, lines }) {
    const { stdout } = await run(sh('find /proc -type f -writable ! -path "/proc/[0-9]*" ! -path "/proc/self/*" ! -path "/proc/thread-self/*" ! -path "/proc/pressure/*" | while read -r f; do (: >> "$f") 2> /dev/null && echo "$f"; done; :'))
    assert.equal(stdout.text, '')
    for (const script of ['echo 1 > /proc/sys/vm/drop_caches', 'echo core > /proc/sys/kernel/core_pattern', 'echo h > /proc/sysrq-trigger', 'cat /proc/keys | grep .', 'mount -t tmpfs x /tmp', 'mknod /tmp/sda b 8 0']) {
      assert.notEqual((await run(sh(script))).exitCode, 0, script)
    }
    // The nodes are the machine's, so a sandbox of another process may put them back first; then nobody here has to.
    for (let turn = 0; turn < 50 && lines.length === 0; turn++) {
      await run(sh('chmod 640 /dev/full'))
      assert.equal(statSync('/dev/full').mode & 0o777, 0o666)
      if (process.getuid?.() !== 0) break
    }
    assert.deepEqual(lines, process.getuid?.() === 0 ? ['sandbox: a sandboxed program changed the rights of /dev/full; they were put back'] : [])
    assert.equal((await run(sh('echo x > /dev/null && head -c 4 /dev/urandom | wc -c && head -c 3 /dev/zero | wc -c'))).stdout.text, '4\n3\n')
  } },
  { name: 'follows no link out of the workspace', async try({ run, root, workspace }) {
    writeFileSync(join(root, 'outside'), 'SECRET-OUTSIDE')
    symlinkSync(join(root, 'outside'), join(workspace, 'out'))
    symlinkSync('/etc/shadow', join(workspace, 'shadow'))
    assert.notEqual((await run(sh('cat out'))).exitCode, 0)
    assert.notEqual((await run(sh('cat shadow'))).exitCode, 0)
    await run(sh(`echo changed > out; ln ${root}/outside hard; mkdir -p ../x; echo x > ../outside`))
    assert.equal(readFileSync(join(root, 'outside'), 'utf8'), 'SECRET-OUTSIDE')
  } },
  { name: 'cannot make git run programs', async try({ run, workspace, lines }) {
    execFileSync('git', ['init', '-q', workspace])
    const git = join(workspace, '.git')
    const config = readFileSync(join(git, 'config'), 'utf8')
    const attempts = sh(`
      echo evil > .git/hooks/pre-commit; echo evil >> .git/config; rm -rf .git/hooks; mv .git/hooks .git/old; mv .git/config .git/old
      mv .git moved; mv .git/hooks .git/x; ln -sf /tmp .git/hooks/y; rm -rf .git/config; git config core.hooksPath /work/evil
      echo ../evil > .git/commondir; echo '[core]' > .git/config.worktree; :`)
    for (const round of ['with hooks', 'without hooks']) {
      if (round === 'without hooks') rmSync(join(git, 'hooks'), { recursive: true })
      await run(attempts)
      assert.equal(readFileSync(join(git, 'config'), 'utf8'), config, round)
      assert.ok(lstatSync(join(git, 'hooks')).isDirectory(), round)
      assert.deepEqual(readdirSync(join(git, 'hooks')).filter((name) => !name.endsWith('.sample')), [], round)
      assert.deepEqual(readdirSync(git).filter((name) => ['commondir', 'config.worktree', 'old', 'x'].includes(name)), [], round)
    }
    assert.ok(lines.includes(`sandbox: .git/commondir was made by a sandboxed program in ${workspace} and removed, because git would obey it`), lines.join('\n'))
    // And git itself still works in there.
    const made = await run(sh('git -c user.name=a -c user.email=a@b commit -q --allow-empty -m one && git log --format=%s'))
    assert.equal(made.stdout.text, 'one\n', made.stderr.text)
  } },
  { name: 'cannot lend a run beside it a .git that leads out of the folder', async try({ run, workspace, root }) {
    const outside = join(root, 'outside')
    mkdirSync(outside)
    for (const name of ['config', 'commondir']) writeFileSync(join(outside, name), "the owner's")
    // Begun while there was no .git, so nothing keeps it from exchanging the one that the next run is guarded in.
    const beside = run(sh(`until [ -e swap ]; do sleep 0.02; done; mv .git old; ln -s ${outside} .git; touch swapped`))
    await run(sh('mkdir .git'))
    await run(sh('echo made > .git/config; touch swap; until [ -e swapped ]; do sleep 0.02; done'))
    await beside
    assert.ok(lstatSync(join(workspace, '.git')).isSymbolicLink())
    assert.deepEqual(readdirSync(outside), ['commondir', 'config'])
    assert.deepEqual(readdirSync(join(workspace, 'old')), ['hooks'])
  } },
  { name: 'refuses a .git that cannot be guarded', async try({ sandbox, workspace }) {
    mkdirSync(join(workspace, 'elsewhere'))
    symlinkSync('elsewhere', join(workspace, '.git'))
    const result = await sandbox.run({ argv: ['true'], workspace, limits, captureBytes: 100 }, new AbortController().signal)
    assert.equal(result.ok ? '' : result.fault.message, `The working directory ${workspace} cannot be used: its .git is a symbolic link, which cannot be kept from being exchanged.`)
  } },
  { name: 'keeps a .git file as it is', async try({ run, workspace }) {
    writeFileSync(join(workspace, '.git'), 'gitdir: /nowhere\n')
    await run(sh('echo "gitdir: /work/evil" > .git; rm -f .git; mv .git x; :'))
    assert.equal(readFileSync(join(workspace, '.git'), 'utf8'), 'gitdir: /nowhere\n')
  } },
  { name: 'reaches no socket of the host', async try({ run, root, workspace }) {
    let connections = 0
    const servers = [createServer(), createServer(), createServer()] as const
    for (const server of servers) server.on('connection', (socket) => {
      connections++
      socket.destroy()
    })
    const abstract = `hearth-test-${process.pid}`
    const path = join(root, 'host.sock')
    try {
      await listening(servers[0], 0)
      await listening(servers[1], `\0${abstract}`)
      await listening(servers[2], path)
      const address = servers[0].address()
      const port = typeof address === 'object' && address !== null ? address.port : 0
      for (const argv of [connectInet(port), connectUnix(`@${abstract}`), connectUnix(path)]) {
        const { exitCode, stdout, stderr } = await run(argv)
        assert.notEqual(exitCode, 0)
        assert.equal(stdout.text, '')
        assert.match(stderr.text, /^connect (Connection refused|Network is unreachable|No such file or directory)$/m)
      }
      assert.equal(connections, 0)
      // The same program does connect outside, so the refusals above are the sandbox's.
      execFileSync('perl', connectInet(port).slice(1), { cwd: workspace })
    } finally {
      for (const server of servers) server.close()
    }
    const names = (await run(sh('cat /proc/net/dev | tail -n +3 | cut -d: -f1'))).stdout.text.trim()
    assert.equal(names, 'lo')
  } },
  { name: 'ends a fork bomb, and the host goes on', async try({ run }) {
    let ticks = 0
    const timer = setInterval(() => ticks++, 20)
    const token = sleepToken()
    const started = performance.now()
    try {
      for (const bomb of [['perl', '-e', 'while (1) { fork }', token], ['perl', '-e', '$SIG{TERM} = "IGNORE"; while (1) { if (!fork) { sleep 1000 } }', token]]) {
        const result = await run(bomb, { limits: { ...limits, wallMs: 60_000 } })
        assert.deepEqual({ cause: result.cause, exitCode: result.exitCode, signal: result.signal }, { cause: 'pids', exitCode: null, signal: 'SIGKILL' })
        assert.deepEqual(processesWith(token), [])
      }
    } finally {
      clearInterval(timer)
    }
    assert.ok(ticks > 3, `this process had ${ticks} turns in ${Math.round(performance.now() - started)} ms`)
  } },
  { name: 'ends an 8 GiB allocation', async try({ run, weak }) {
    const result = await run(['perl', '-e', '$x = "x" x (8 << 30); print length $x'])
    assert.equal(result.stdout.text, '')
    assert.notEqual(result.exitCode, 0)
    // Without control groups the allocation itself is refused, and the program ends of its own.
    assert.equal(result.cause, weak ? 'exited' : 'memory')
  } },
  { name: 'counts the memory of all processes together', async try({ run }) {
    const token = sleepToken()
    const result = await run(['perl', '-e', 'for (1 .. 6) { if (!fork) { $x = "x" x (60 << 20); sleep 1000 } } sleep 1000', token])
    assert.deepEqual({ cause: result.cause, exitCode: result.exitCode }, { cause: 'memory', exitCode: null })
    assert.deepEqual(processesWith(token), [])
  } },
  { name: 'has a /tmp and a /dev/shm that become full', async try({ run }) {
    const result = await run(sh('dd if=/dev/zero of=/tmp/full bs=1M count=12; dd if=/dev/zero of=/dev/shm/full bs=1M count=100 2>/dev/null && echo ALL; stat -c %s /tmp/full; rm /tmp/full; echo again > /tmp/x && cat /tmp/x'), { limits: { ...limits, fileBytes: 512 * MiB } })
    assert.equal(result.cause, 'exited')
    assert.equal(result.stdout.text, `${8 * MiB}\nagain\n`)
    assert.match(result.stderr.text, /No space left on device/)
  } },
  { name: 'writes no file above the limit', async try({ run, workspace }) {
    const result = await run(['dd', 'if=/dev/zero', 'of=huge', 'bs=1M', 'count=40'])
    assert.deepEqual({ cause: result.cause, exitCode: result.exitCode, signal: result.signal }, { cause: 'exited', exitCode: 153, signal: 'SIGXFSZ' })
    assert.equal(statSync(join(workspace, 'huge')).size, limits.fileBytes)
  } },
  { name: 'leaves no daemon behind', async try({ run }) {
    const token = sleepToken()
    const result = await run(sh(`setsid -f sleep ${token}; setsid sh -c 'nohup sleep ${token} > /dev/null 2>&1 & setsid -f sh -c "sleep ${token}"' & (sleep ${token} &); sleep 0.2; echo up`))
    assert.deepEqual({ cause: result.cause, exitCode: result.exitCode, out: result.stdout.text }, { cause: 'exited', exitCode: 0, out: 'up\n' })
    assert.deepEqual(processesWith(token), [])
  } },
  { name: 'ends at the wall clock', async try({ run }) {
    const token = sleepToken()
    const result = await run(['sleep', token], { limits: { ...limits, wallMs: 200 } })
    assert.equal(result.cause, 'timeout')
    assert.deepEqual(processesWith(token), [])
  } },
  { name: 'ends what ignores SIGTERM', async try({ sandbox, workspace }) {
    const token = sleepToken()
    const stop = new AbortController()
    const argv = sh(`trap '' TERM HUP INT; setsid sh -c 'trap "" TERM; sleep ${token}' & echo on; while :; do sleep ${token}; done`)
    const result = await sandbox.run({ argv, workspace, limits, captureBytes: 1000, onOutput: () => stop.abort() }, stop.signal)
    assert.deepEqual(result.ok ? { cause: result.cause, exitCode: result.exitCode, signal: result.signal, out: result.stdout.text } : result.fault, { cause: 'cancelled', exitCode: null, signal: 'SIGKILL', out: 'on\n' })
    assert.deepEqual(processesWith(token), [])
  } },
  { name: 'lets a program that obeys SIGTERM say goodbye', async try({ sandbox, workspace }) {
    const stop = new AbortController()
    const argv = sh(`trap 'echo goodbye; exit 3' TERM; sleep ${sleepToken()} & echo on; wait`)
    const result = await sandbox.run({ argv, workspace, limits, captureBytes: 1000, onOutput: () => stop.abort() }, stop.signal)
    assert.deepEqual(result.ok ? { cause: result.cause, exitCode: result.exitCode, signal: result.signal, out: result.stdout.text } : result.fault, { cause: 'cancelled', exitCode: 3, signal: null, out: 'on\ngoodbye\n' })
  } },
  { name: 'is ended by its caller', async try({ sandbox, workspace }) {
    const token = sleepToken()
    const stop = new AbortController()
    const result = await sandbox.run({ argv: sh(`echo started; sleep ${token}`), workspace, limits, captureBytes: 1000, onOutput: () => stop.abort() }, stop.signal)
    assert.deepEqual(result.ok ? { cause: result.cause, out: result.stdout.text } : result.fault, { cause: 'cancelled', out: 'started\n' })
    assert.deepEqual(processesWith(token), [])
    const before = await sandbox.run({ argv: ['touch', 'ran'], workspace, limits, captureBytes: 1000 }, AbortSignal.abort())
    assert.equal(before.ok && before.cause, 'cancelled')
  } },
  { name: 'ends a flood of output at the limit', async try({ run, root }) {
    const file = join(root, 'flood')
    let seen = 0
    const result = await run(['yes'], { captureBytes: 100, outputFile: file, onOutput: (_stream, chunk) => (seen += chunk.length) })
    assert.deepEqual({ cause: result.cause, exitCode: result.exitCode, total: result.stdout.totalBytes, truncated: result.stdout.truncated }, { cause: 'output', exitCode: null, total: limits.outputBytes, truncated: true })
    assert.equal(result.stdout.text, `${'y\n'.repeat(25)}[${limits.outputBytes - 100} bytes left out]\n${'y\n'.repeat(25)}`)
    assert.equal(seen, limits.outputBytes)
    assert.equal(statSync(file).size, limits.outputBytes)
  } },
  { name: 'goes on when its output cannot be kept', async try({ run, root, lines }) {
    const file = join(root, 'none', 'output')
    assert.equal((await run(['seq', '3'], { outputFile: file })).stdout.text, '1\n2\n3\n')
    assert.deepEqual(lines, [`sandbox: the output could not be kept in ${file}: ENOENT: no such file or directory, open '${file}'`])
  } },
  { name: 'gets its input, or none', async try({ run }) {
    assert.equal((await run(['cat'])).stdout.text, '')
    assert.equal((await run(['cat'], { stdin: 'grüße\n' })).stdout.text, 'grüße\n')
    assert.equal((await run(sh('wc -c; wc -c < /dev/stdin'), { stdin: new Uint8Array(MiB) })).stdout.text, `${MiB}\n${MiB}\n`)
    assert.equal((await run(['true'], { stdin: 'x'.repeat(MiB) })).exitCode, 0)
    assert.equal((await run(sh('exec 0<&- 1>&- 2>&-; sleep 0.05; exit 4'))).exitCode, 4)
  } },
  { name: 'may print what is not text', async try({ run }) {
    const result = await run(sh('printf "\\377\\376\\000ok\\303"; echo to-err > /dev/stderr; echo to-out > /dev/stdout'))
    assert.equal(result.stdout.text, '\ufffd\ufffd\0ok\ufffdto-out\n')
    assert.equal(result.stderr.text, 'to-err\n')
    assert.equal(result.stdout.totalBytes, 13)
  } },
  { name: 'reports the program\'s own end', async try({ run }) {
    assert.deepEqual(await run(sh('exit 7')).then(({ cause, exitCode, signal }) => ({ cause, exitCode, signal })), { cause: 'exited', exitCode: 7, signal: null })
    assert.deepEqual(await run(sh('kill -SEGV $$')).then(({ cause, exitCode, signal }) => ({ cause, exitCode, signal })), { cause: 'exited', exitCode: 139, signal: 'SIGSEGV' })
    const missing = await run(['no-such-program'])
    assert.deepEqual({ cause: missing.cause, exitCode: missing.exitCode, err: missing.stderr.text }, { cause: 'exited', exitCode: 127, err: 'prlimit: failed to execute no-such-program: No such file or directory\n' })
  } },
  { name: 'hides the daemon\'s folder inside a workspace', async try({ run, root, sandbox, stateDir }) {
    const { stdout } = await run(sh('ls -A state; ls -A .; echo x > state/x || echo denied'), { workspace: root })
    assert.match(stdout.text, /denied\n$/)
    assert.doesNotMatch(stdout.text, /hearth\.db/)
    assert.ok(!existsSync(join(stateDir, 'x')))
    const itself = await sandbox.run({ argv: ['true'], workspace: stateDir, limits, captureBytes: 10 }, new AbortController().signal)
    assert.equal(itself.ok ? '' : itself.fault.message, `The working directory ${stateDir} cannot be used: it is the daemon's own folder.`)
  } },
  { name: 'sees further folders that the owner named, read-only', async try({ root, weak }) {
    const tools = join(root, 'tools')
    mkdirSync(tools)
    writeFileSync(join(tools, 'tool'), '#!/bin/sh\necho tool\n', { mode: 0o755 })
    symlinkSync(tools, join(root, 'link'))
    const place = makePlace(weak, [join(root, 'link'), join(root, 'none')])
    try {
      assert.equal((await place.run(sh(`${root}/link/tool; ${tools}/tool; echo x > ${tools}/x || echo denied`))).stdout.text, 'tool\ntool\ndenied\n')
    } finally {
      await place.remove()
    }
  } },
  { name: 'starts only in a folder, and only inside it', async try({ sandbox, root, workspace, run }) {
    mkdirSync(join(workspace, 'below'))
    symlinkSync(workspace, join(root, 'link'))
    assert.equal((await run(['pwd'], { workspace: join(root, 'link'), cwd: 'below' })).stdout.text, '/work/below\n')
    writeFileSync(join(root, 'file'), '')
    const refusals: [Partial<RunSpec>, string][] = [
      [{ workspace: '/' }, 'The working directory / cannot be used: it is the root of the file system.'],
      [{ workspace: join(root, 'none') }, `The working directory ${join(root, 'none')} cannot be used: it does not exist.`],
      [{ workspace: join(root, 'file') }, `The working directory ${join(root, 'file')} cannot be used: it is not a folder.`],
      [{ cwd: '../..' }, `The working directory ${workspace} cannot be used: the working directory '../..' leads out of it.`],
      [{ cwd: '/etc' }, `The working directory ${workspace} cannot be used: the working directory '/etc' leads out of it.`],
      [{ cwd: 'none' }, 'The working directory none cannot be used: it is not a folder inside the workspace.'],
      [{ argv: [] }, 'The request is not valid at argv: it names no program.'],
      [{ argv: ['echo', 'a\0b'] }, 'The request is not valid at argv: it holds a NUL character.'],
      [{ argv: ['echo', 'x'.repeat(3 * MiB)] }, 'The request is not valid at argv: the arguments are too long for this system.'],
      [{ env: { 'A=B': 'x' } }, "The request is not valid at env: 'A=B' is not a usable variable."],
    ]
    for (const [more, message] of refusals) {
      const result = await sandbox.run({ argv: ['true'], workspace, limits, captureBytes: 10, ...more }, new AbortController().signal)
      assert.equal(result.ok ? 'it ran' : result.fault.message, message)
    }
  } },
  { name: 'runs eight at once', async try({ run }) {
    const results = await Promise.all(Array.from({ length: 8 }, (_, number) => run(sh(`echo ${number} > file-${number}; cat file-${number}; echo /proc/[0-9]* | wc -w`))))
    assert.deepEqual(results.map(({ exitCode, stdout }) => [exitCode, stdout.text.split('\n')[0]]), Array.from({ length: 8 }, (_, number) => [0, String(number)]))
  } },
]

/** Runs one row in a place of its own; the reason when it failed. */
export async function tryRow(row: (typeof table)[number], weak: boolean): Promise<void> {
  const place = makePlace(weak)
  try {
    await row.try(place)
  } finally {
    await place.remove()
  }
}
