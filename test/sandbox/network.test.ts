// A sandboxed program with a list of hosts: what it reaches by the usual variables, and every way around the list that we know of.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, chownSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { Config, type Fault, type Limits, type NetworkGrant, type RunResult, type Sandbox } from '@hearth/protocol'
import { createSandbox } from '../../packages/sandbox/src/index.ts'
import { openProxy } from '../../packages/sandbox/src/proxy.ts'
import { httpServer, httpsServer, makeCertificate, rawServer, silentServer, type Counting } from '../fixtures/counting-servers.ts'

const MiB = 2 ** 20
const limits: Limits = { memoryBytes: 1024 * MiB, pids: 128, wallMs: 60_000, outputBytes: 16 * MiB, tmpBytes: 64 * MiB, fileBytes: 64 * MiB }

type Row = { host: string; bytes: number | null }
type Ran = Extract<RunResult, { ok: true }> & { rows: Row[]; refusals: Fault[] }

describe('a run with a network', () => {
  const root = mkdtempSync(join(tmpdir(), 'hearth-network-'))
  const [state, work] = [join(root, 'state'), join(root, 'work')]
  for (const folder of [state, work]) mkdirSync(folder)
  const names = new Map<string, string[]>()
  const asked: string[] = []
  let sandbox: Sandbox & { close(): Promise<void> }
  let plain: Counting
  let secure: Counting
  let silent: Awaited<ReturnType<typeof silentServer>>
  let heads: { url: string; headers: string[] }[] = []
  before(async () => {
    sandbox = createSandbox({
      config: Config.parse({ sandbox: { limits: 'weak' } }).sandbox, stateDir: state, log: () => undefined,
      resolve(name) {
        asked.push(name)
        const found = names.get(name)
        if (found === undefined) return Promise.reject(Object.assign(new Error('no such name'), { code: 'ENOTFOUND' }))
        // The second answer is another one: a name is to be asked once.
        return Promise.resolve(found.splice(0, found.length > 1 ? 1 : 0).concat(found.length === 1 ? found : []).slice(0, 1).map((address) => ({ address, family: address.includes(':') ? 6 : 4 })))
      },
    })
    const answer = (request: import('node:http').IncomingMessage, response: import('node:http').ServerResponse): void => {
      heads.push({ url: request.url ?? '', headers: request.rawHeaders })
      if (request.url === '/away') return void response.writeHead(302, { location: 'http://elsewhere.test/secret' }).end()
      if (request.url === '/metadata') return void response.writeHead(302, { location: 'http://169.254.169.254/latest' }).end()
      if (request.url === '/large') return void response.end(Buffer.alloc(4 * MiB, 'x'))
      request.resume().on('end', () => response.end(`you asked for ${request.url} of ${request.headers.host}`))
    }
    plain = await httpServer(answer)
    secure = await httpsServer(makeCertificate(work, ['DNS:secure.test', 'DNS:other.test']), (request, response) => {
      const path = join(root, decodeURI(request.url ?? '').split('?')[0] ?? '')
      if (!request.url?.startsWith('/repository.git/')) return answer(request, response)
      try {
        response.end(readFileSync(path))
      } catch {
        response.writeHead(404).end()
      }
    })
    silent = await silentServer()
    for (const name of ['plain.test', 'secure.test', 'other.test', 'silent.test']) names.set(name, ['127.0.0.1'])
  })
  after(async () => {
    await sandbox.close()
    for (const server of [plain, secure, silent]) await server.close()
    rmSync(root, { recursive: true, force: true })
  })

  /** The list of a job that may reach the three servers by their names. */
  const usual = (): string[] => [...['plain.test', `127.0.0.1`].map((host) => `${host}:${plain.port}`), `secure.test:${secure.port}`, `127.0.0.1:${secure.port}`, `silent.test:${silent.port}`, `127.0.0.1:${silent.port}`]

  const run = async (script: string, options: { hosts?: string[]; left?: NetworkGrant['left']; begin?: NetworkGrant['begin']; signal?: AbortSignal; workspace?: string } = {}): Promise<Ran> => {
    heads = []
    const rows: Row[] = []
    const refusals: Fault[] = []
    const grant: NetworkGrant = {
      hosts: options.hosts ?? usual(), left: options.left ?? { sentBytes: 64 * MiB, receivedBytes: 64 * MiB },
      begin: options.begin ?? ((host) => {
        const row: Row = { host, bytes: null }
        rows.push(row)
        return Promise.resolve((bytes) => {
          assert.equal(row.bytes, null, 'a row is settled once')
          row.bytes = bytes
          return Promise.resolve()
        })
      }),
      refused: (why) => refusals.push(why),
    }
    const result = await sandbox.run({ argv: ['bash', '-c', script], workspace: options.workspace ?? work, network: grant, limits, captureBytes: MiB, env: { CURL_CA_BUNDLE: '/work/cert.pem', GIT_SSL_CAINFO: '/work/cert.pem', NODE_EXTRA_CA_CERTS: '/work/cert.pem' } }, options.signal ?? new AbortController().signal)
    if (!result.ok) assert.fail(result.fault.message)
    return { ...result, rows, refusals }
  }
  /** The script without the rule that keeps a program's own loopback to itself. */
  const through = (script: string): string => `unset NO_PROXY no_proxy; ${script}`
  const sumOf = (rows: readonly Row[]): number => rows.reduce((sum, row) => sum + (row.bytes ?? assert.fail(`${row.host} was not settled`)), 0)
  const perl = (code: string): string => `perl -MSocket -e '${code}'`
  const talk = (words: string): string => perl(`$SIG{PIPE} = "IGNORE"; socket(S, AF_UNIX, SOCK_STREAM, 0) or die; connect(S, pack_sockaddr_un("/proxy/socket")) or die "connect $!"; $| = 1; select(S); $| = 1; print S ${words}; shutdown(S, 1); select(STDOUT); print while <S>`)

  test('curl, git and Node reach what is listed, and the rows hold the bytes that the servers counted', async () => {
    const before = plain.receivedBytes + secure.receivedBytes
    const { stdout, stderr, rows, refusals, exitCode } = await run(`set -e
      curl -sS http://plain.test:${plain.port}/one; echo
      curl -sS -d some=body -H 'Proxy-Connection: x' http://PLAIN.test.:${plain.port}/two; echo
      head -c 300000 /dev/zero | curl -sS -H 'Transfer-Encoding: chunked' --data-binary @- http://plain.test:${plain.port}/three; echo
      curl -sS https://secure.test:${secure.port}/four; echo
      /proxy/node -e 'fetch("https://secure.test:${secure.port}/five").then((r) => r.text()).then(console.log)'
      test -z "$(ls -A /proxy | grep -v -e node -e socket -e forward.mjs)"; jobs; ps -o pid= --ppid $$ 2> /dev/null | wc -l`)
    assert.equal(exitCode, 0, stderr.text)
    assert.deepEqual(stdout.text.split('\n').slice(0, 5), [
      `you asked for /one of plain.test:${plain.port}`, `you asked for /two of plain.test:${plain.port}`, `you asked for /three of plain.test:${plain.port}`,
      `you asked for /four of secure.test:${secure.port}`, `you asked for /five of secure.test:${secure.port}`,
    ])
    assert.deepEqual(refusals, [])
    assert.deepEqual(rows.map((row) => row.host), [...Array<string>(3).fill(`plain.test:${plain.port}`), ...Array<string>(2).fill(`secure.test:${secure.port}`)])
    assert.equal(sumOf(rows), plain.receivedBytes + secure.receivedBytes - before)
    assert.ok((rows[2]?.bytes ?? 0) > 300_000)
    for (const { headers } of heads) for (const name of headers.filter((_, index) => index % 2 === 0)) assert.doesNotMatch(name, /^(proxy-|via|forwarded|x-forwarded|authorization|cookie)/i, 'nothing of ours is added')
  })

  test('git clones over TLS', async () => {
    const bare = join(root, 'repository.git')
    const git = (...words: string[]): Buffer => execFileSync('git', words, { cwd: root, stdio: 'pipe', env: { ...process.env, GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_SYSTEM: '/dev/null' } })
    git('init', '-q', 'source')
    writeFileSync(join(root, 'source/file'), 'content of the repository\n')
    git('-C', 'source', 'add', '.')
    git('-C', 'source', '-c', 'user.name=a', '-c', 'user.email=a@example.org', 'commit', '-q', '-m', 'one')
    git('clone', '-q', '--bare', 'source', bare)
    git('-C', bare, 'update-server-info')
    const before = secure.receivedBytes
    const { stdout, stderr, rows } = await run(`git clone -q https://secure.test:${secure.port}/repository.git /tmp/clone && cat /tmp/clone/file`)
    assert.equal(stdout.text, 'content of the repository\n', stderr.text)
    assert.equal(sumOf(rows), secure.receivedBytes - before)
  })

  test('nothing leads around the proxy', async () => {
    const before = plain.connections
    const { stdout } = await run(`
      ${perl(`socket(S, AF_INET, SOCK_STREAM, 0); connect(S, pack_sockaddr_in(${plain.port}, inet_aton("127.0.0.1"))) and print "REACHED"`)}
      ${perl(`socket(S, AF_INET, SOCK_STREAM, 0); connect(S, pack_sockaddr_in(80, inet_aton("169.254.169.254"))) and print "REACHED"; print "$!\\n"`)}
      ${perl('socket(S, AF_INET, SOCK_DGRAM, 0); send(S, "x", 0, pack_sockaddr_in(53, inet_aton("8.8.8.8"))) and print "REACHED"; print "$!\\n"')}
      curl -sS --noproxy '*' http://plain.test:${plain.port}/ 2>&1
      cat /proc/net/route | wc -l`)
    assert.equal(stdout.text, 'Network is unreachable\nNetwork is unreachable\ncurl: (6) Could not resolve host: plain.test\n1\n')
    assert.equal(plain.connections, before)
  })

  test('what is not listed is refused with a sentence, once for each host', async () => {
    const before = plain.connections + secure.connections
    asked.length = 0
    const { stdout, stderr, rows, refusals, refused } = await run(through(`
      for n in 1 2 3; do curl -sS http://elsewhere.test/$n; done
      curl -sS https://elsewhere.test/
      curl -sS http://plain.test/; curl -sS http://secure.test.evil.test/; curl -sS http://169.254.169.254/latest/meta-data/
      curl -sS 'http://[::ffff:169.254.169.254]/'; curl -sS http://0xa9fea9fe/; curl -sS http://127.0.0.1:${silent.port + 1}/`))
    assert.deepEqual([rows, asked], [[], []], 'nobody is asked for the address of what is not listed')
    assert.equal(plain.connections + secure.connections, before)
    assert.deepEqual(refusals.map(({ message }) => message), [
      'The job did not reach elsewhere.test: it is not in its list of hosts.', 'The job did not reach plain.test: its list of hosts names no port 80 of it.', 'The job did not reach secure.test.evil.test: it is not in its list of hosts.',
      'The job did not reach 169.254.169.254: it is not in its list of hosts.', `The job did not reach 127.0.0.1:${silent.port + 1}: its list of hosts names no port ${silent.port + 1} of it.`,
    ])
    assert.equal(refusals[0]?.remedy, 'If it should, start the job with --network elsewhere.test.')
    assert.deepEqual(refused, refusals.map(({ message, remedy }) => `${message} ${remedy}`))
    assert.equal(stdout.text.split('\n')[0], 'The job did not reach elsewhere.test: it is not in its list of hosts. If it should, start the job with --network elsewhere.test.')
    assert.match(stderr.text, /response 403/)
  })

  test('a redirect is a host like any other', async () => {
    const { stdout, rows, refusals } = await run(`curl -sSL http://plain.test:${plain.port}/away; curl -sSL http://plain.test:${plain.port}/metadata`)
    assert.deepEqual(refusals.map(({ message }) => message), ['The job did not reach elsewhere.test: it is not in its list of hosts.', 'The job did not reach 169.254.169.254: it is not in its list of hosts.'])
    assert.equal(rows.length, 2)
    assert.doesNotMatch(stdout.text, /you asked/)
  })

  test('a listed name that leads to a near address is refused, and its name is looked up once', async () => {
    names.set('inside.test', ['127.0.0.1'])
    names.set('cloud.test', ['169.254.169.254'])
    names.set('mapped.test', ['::ffff:127.0.0.1'])
    names.set('translated.test', ['64:ff9b::7f00:1'])
    const before = plain.connections
    const hosts = [`inside.test:${plain.port}`, 'cloud.test', `mapped.test:${plain.port}`, `translated.test:${plain.port}`, `localhost:${plain.port}`]
    names.set('localhost', ['127.0.0.1'])
    const { rows, refusals } = await run(through(`for host in inside.test:${plain.port} cloud.test mapped.test:${plain.port} translated.test:${plain.port} localhost:${plain.port}; do curl -sS http://$host/; done`), { hosts })
    assert.deepEqual([rows, plain.connections - before], [[], 0])
    assert.deepEqual(refusals.map(({ message, remedy }) => `${message} ${remedy}`), [
      `The job did not reach inside.test:${plain.port}: it leads to 127.0.0.1, a loopback address. If that is meant, name the address too: --network 127.0.0.1:${plain.port}.`,
      "The job did not reach cloud.test: it leads to 169.254.169.254, a link-local address. If that is meant, name the address too: --network 169.254.169.254.",
      `The job did not reach mapped.test:${plain.port}: it leads to ::ffff:127.0.0.1, a loopback address. If that is meant, name the address too: --network [::ffff:127.0.0.1]:${plain.port}.`,
      `The job did not reach translated.test:${plain.port}: it leads to 64:ff9b::7f00:1, an IPv4 address in a translated form. If that is meant, name the address too: --network [64:ff9b::7f00:1]:${plain.port}.`,
      `The job did not reach localhost:${plain.port}: it leads to 127.0.0.1, a loopback address. If that is meant, name the address too: --network 127.0.0.1:${plain.port}.`,
    ])
    // The first answer is judged and connected to; the second one, which leads elsewhere, is never asked for.
    names.set('rebinding.test', ['127.0.0.1', '169.254.169.254'])
    asked.length = 0
    const rebound = await run(`curl -sS http://rebinding.test:${plain.port}/bound`, { hosts: [`rebinding.test:${plain.port}`, `127.0.0.1:${plain.port}`] })
    assert.equal(rebound.stdout.text, `you asked for /bound of rebinding.test:${plain.port}`)
    assert.deepEqual(asked, ['rebinding.test'])
    assert.equal((await run(`curl -sS http://rebinding.test:${plain.port}/again`, { hosts: [`rebinding.test:${plain.port}`, `127.0.0.1:${plain.port}`] })).refusals.length, 1, 'the next connection is judged anew')
  })

  test('a TLS hello for another name than the CONNECT line is cut before a byte of it leaves', async () => {
    const before = secure.receivedBytes
    const { stderr, rows, refusals } = await run(`curl -sS --connect-to other.test:443:secure.test:${secure.port} https://other.test/`)
    assert.match(stderr.text, /curl: \(35\)/)
    assert.deepEqual(refusals.map(({ message }) => message), [`The job did not reach secure.test:${secure.port}: the TLS inside asks for other.test.`])
    assert.deepEqual([rows, secure.receivedBytes - before], [[{ host: `secure.test:${secure.port}`, bytes: 0 }], 0])
  })

  test('tricks on the wire are refused, and the proxy lives on', async () => {
    const p = plain.port
    const before = plain.connections
    const tricks = [
      `"CONNECT evil.test\\0.plain.test:${p} HTTP/1.1\\r\\n\\r\\n"`, `"CONNECT plain.test:${p}\\@evil.test:80 HTTP/1.1\\r\\n\\r\\n"`, `"GET http://user\\@plain.test:${p}/ HTTP/1.1\\r\\n\\r\\n"`,
      `"GET http://plain.test:${p}\\@evil.test/ HTTP/1.1\\r\\n\\r\\n"`, `"GET http://evil.test#\\@plain.test:${p}/ HTTP/1.1\\r\\n\\r\\n"`, `"GET http://plain.test%00.evil.test/ HTTP/1.1\\r\\n\\r\\n"`,
      `"GET /origin HTTP/1.1\\r\\nHost: plain.test:${p}\\r\\n\\r\\n"`, `"GET https://plain.test:${p}/ HTTP/1.1\\r\\n\\r\\n"`, `"GET ftp://plain.test:${p}/ HTTP/1.1\\r\\n\\r\\n"`, `"CONNECT plain.test HTTP/1.1\\r\\n\\r\\n"`,
      `"POST http://plain.test:${p}/ HTTP/1.1\\r\\nContent-Length: 3\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n0\\r\\n\\r\\nGET /smuggled HTTP/1.1\\r\\n\\r\\n"`,
      `"POST http://plain.test:${p}/ HTTP/1.1\\r\\nContent-Length: 3\\r\\nContent-Length: 30\\r\\n\\r\\nabc"`, `"GET http://plain.test:${p}/ HTTP/1.1\\r\\nA: b\\r\\n c: folded\\nX\\r\\n\\r\\n"`,
      `"GET http://plain.test:${p}/ HTTP/1.1\\r\\nLarge: ", "x" x 40000, "\\r\\n\\r\\n"`, '"\\x16\\x03\\x01\\x00\\x05hello", "\\0" x 1000', '"\\xff" x 100000', '""',
    ]
    const { rows, exitCode, stderr } = await run(tricks.map((words) => `${talk(words)} > /dev/null || exit 9`).join('\n'))
    assert.equal(exitCode, 0, stderr.text)
    assert.deepEqual([rows, plain.connections - before], [[], 0])
    // Two requests on one connection are two connections outside, each for its own host.
    const two = await run(talk(`"GET http://plain.test:${p}/first HTTP/1.1\\r\\nHost: evil.test\\r\\n\\r\\nGET http://evil.test/second HTTP/1.1\\r\\nHost: plain.test:${p}\\r\\nConnection: close\\r\\n\\r\\n"`))
    assert.deepEqual([heads.map(({ url, headers }) => [url, headers[1]]), two.refusals.map(({ message }) => message)], [[['/first', `plain.test:${p}`]], ['The job did not reach evil.test: it is not in its list of hosts.']])
    assert.equal((await run(`curl -sS http://plain.test:${p}/alive`)).stdout.text, `you asked for /alive of plain.test:${p}`)
  })

  test('servers that answer nonsense end in an error of that request', async () => {
    const answers = ['HTTP/1.1 000 X\r\n\r\n', 'HTTP/1.1 200 \x01\r\n\r\n', 'HTTP/1.1 101 Up\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n', 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc', 'nonsense', '', `HTTP/1.1 200 OK\r\n${'a: b\r\n'.repeat(50_000)}\r\n`, 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort', 'HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n']
    const left = [...answers]
    const odd = await rawServer(() => left.shift() ?? '')
    const { stdout, exitCode } = await run(`for n in ${answers.map((_, n) => n).join(' ')}; do curl -s -o /dev/null -w '%{http_code} ' http://plain.test:${odd.port}/; done; curl -sS http://plain.test:${plain.port}/alive`, { hosts: [...usual(), `plain.test:${odd.port}`, `127.0.0.1:${odd.port}`] })
    await odd.close()
    assert.equal(exitCode, 0)
    assert.equal(stdout.text, `502 200 502 502 502 502 502 200 502 you asked for /alive of plain.test:${plain.port}`)
  })

  test('many refusals are told as one after the first twenty', async () => {
    const { refusals, refused } = await run('for n in $(seq 30); do curl -s http://host$n.test/ > /dev/null; done')
    assert.equal(refusals.length, 21)
    assert.equal(refused?.at(-1), 'The job did not reach further hosts: 20 were refused already. They are not told one by one.')
  })

  test('a thousand connections are bounded, and those after them served', async () => {
    const { rows, refusals, stdout, exitCode } = await run(`
      ${perl('my @all; for (1 .. 1000) { socket(my $s, AF_UNIX, SOCK_STREAM, 0) or die; connect($s, pack_sockaddr_un("/proxy/socket")) or last; push @all, $s } print scalar(@all) > 500 ? "many\\n" : "few\\n"; sleep 1')}
      ${perl(`my @all; for (1 .. 200) { socket(my $s, AF_UNIX, SOCK_STREAM, 0); connect($s, pack_sockaddr_un("/proxy/socket")) or last; send($s, "CONNECT silent.test:${silent.port} HTTP/1.1\\r\\n\\r\\n", MSG_NOSIGNAL); push @all, $s } sleep 1`)}
      for n in $(seq 50); do curl -sS http://plain.test:${plain.port}/after && break; sleep 0.1; done`)
    assert.equal(exitCode, 0)
    assert.match(stdout.text, /^many\nyou asked for \/after/)
    assert.ok(rows.length <= 65 + 1, `${rows.length} connections`)
    assert.deepEqual(refusals.map(({ message }) => message), ['The job did not reach some hosts: it had 64 connections open already.'])
    assert.equal(sumOf(rows.filter(({ host }) => host.startsWith('silent'))), 0)
  })

  test('what a job may send and receive is bounded', async () => {
    const left = { sentBytes: 100_000, receivedBytes: 64 * MiB }
    const before = plain.receivedBytes
    const { refusals, rows } = await run(`head -c 3000000 /dev/zero | curl -sS --data-binary @- http://plain.test:${plain.port}/much; curl -sS http://plain.test:${plain.port}/more`, { left })
    assert.deepEqual(refusals.map(({ message, remedy }) => `${message} ${remedy}`), [`The job did not reach plain.test:${plain.port}: the tools of this job have sent all that one job may. Raise sandbox.network.sentBytes if that is too little.`])
    assert.ok(sumOf(rows) <= 100_000 && plain.receivedBytes - before <= 100_000)
    const large = await run(`curl -sS http://plain.test:${plain.port}/large | wc -c`, { left: { sentBytes: MiB, receivedBytes: MiB } })
    assert.ok(Number(large.stdout.text) <= MiB)
    assert.match(large.refusals[0]?.message ?? '', /have received all that one job may\.$/)
  })

  test('no row, no connection', async () => {
    const before = plain.connections
    const { stdout } = await run(`curl -sS http://plain.test:${plain.port}/`, { begin: () => Promise.reject(new Error('the disk is full')) })
    assert.equal(stdout.text, `The job did not reach plain.test:${plain.port}: what leaves this box could not be recorded (the disk is full). Look at the name and at the network of this box.\n`)
    assert.equal(plain.connections, before)
  })

  test('a connection ends with its run, and its bytes are told', async () => {
    const abort = new AbortController()
    silent.onBytes = () => abort.abort()
    const { cause, rows } = await run(`(echo some words; sleep 60) | curl -sS -N --proxytunnel -T - http://silent.test:${silent.port}/`, { signal: abort.signal })
    assert.equal(cause, 'cancelled')
    assert.equal(rows.length, 1)
    assert.ok((rows[0]?.bytes ?? 0) > 0)
    assert.deepEqual(readdirSync(join(state, 'sandbox/proxy')), [])
  })

  test('a client that leaves while its host is looked up keeps no connection', async () => {
    const settled = Promise.withResolvers<number>()
    let leave = (): Promise<void> => Promise.resolve()
    const proxy = await openProxy(join(root, 'proxies'), null, {
      log: () => undefined,
      grant: {
        hosts: [`127.0.0.1:${silent.port}`], left: { sentBytes: MiB, receivedBytes: MiB }, refused: () => undefined,
        begin: async () => {
          await leave()
          return (bytes) => Promise.resolve(settled.resolve(bytes))
        },
      },
    })
    try {
      const client = connect(proxy.path)
      client.on('error', () => undefined)
      leave = async () => {
        client.destroy()
        // The proxy sees it in one of the next turns; if not, it sees it later and the same holds.
        for (let turn = 0; turn < 50; turn += 1) await nextTurn()
      }
      client.write(`GET http://127.0.0.1:${silent.port}/ HTTP/1.1\r\nhost: x\r\n\r\n`)
      await settled.promise
    } finally {
      await proxy.close()
    }
  })

  test('a folder of another user has the same way out', async () => {
    const other = join(root, 'other')
    mkdirSync(other)
    chmodSync(root, 0o755)
    // Only root runs a folder's programs as its owner; for anybody else this is a folder of their own.
    if (process.getuid?.() === 0) chownSync(other, 1234, 1234)
    // Other programs of this box may have such folders too.
    const theirs = (): string[] => readdirSync(tmpdir()).filter((name) => name.startsWith('hearth-proxy-') && statSync(join(tmpdir(), name, 'socket'), { throwIfNoEntry: false })?.uid === 1234)
    let seen: { folder: string; uid: number; modes: number[] }[] = []
    const { stdout, stderr } = await run(`curl -sS http://plain.test:${plain.port}/owner; touch mine`, {
      workspace: other,
      begin: () => {
        seen = theirs().map((name) => join(tmpdir(), name)).map((folder) => ({ folder, uid: statSync(folder).uid, modes: [folder, join(folder, 'socket')].map((path) => statSync(path).mode & 0o777) }))
        return Promise.resolve(() => Promise.resolve())
      },
    })
    assert.equal(stdout.text, `you asked for /owner of plain.test:${plain.port}`, stderr.text)
    if (process.getuid?.() === 0) {
      // Root changes and removes what lies in this folder, so nobody else may put anything there.
      assert.deepEqual(seen.map(({ uid, modes }) => ({ uid, modes })), [{ uid: 0, modes: [0o711, 0o600] }])
      assert.deepEqual(theirs(), [])
    }
    assert.equal(statSync(join(other, 'mine')).uid, statSync(other).uid)
  })

  test('a run without a list has neither the socket nor the variables', async () => {
    const result = await sandbox.run({ argv: ['sh', '-c', 'ls /proxy; env | grep -i proxy'], workspace: work, limits, captureBytes: 1000 }, new AbortController().signal)
    assert.ok(result.ok)
    assert.equal(result.stdout.text, '')
    assert.match(result.stderr.text, /No such file/)
  })
})
