// How hosts are read, what a list covers, which addresses are near, which name a TLS hello asks for.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { test } from 'node:test'
import { connect as tlsConnect } from 'node:tls'
import { authorityOf, covers, hostOf, HostPattern, matches, networkProblem, OwnerPattern, ruleOf, type HostRule } from '@hearth/protocol'
import { mayServe, whyNear } from '../../packages/sandbox/src/proxy-address.ts'
import { serverNames } from '../../packages/sandbox/src/proxy-sni.ts'

const rule = (text: string): HostRule => ruleOf(text) ?? assert.fail(`${text} is no rule`)

test('a host has one spelling, and what can be read in two ways is none', () => {
  const spellings: [string, string | null][] = [
    ['Example.ORG', 'example.org'], ['example.org.', 'example.org'], ['bücher.example', 'xn--bcher-kva.example'], ['xn--bcher-kva.example', 'xn--bcher-kva.example'], ['ＥＸＡＭＰＬＥ.org', 'example.org'],
    ['example。org', 'example.org'], ['a_b.example', 'a_b.example'], ['127.0.0.1', '127.0.0.1'], ['127.1', '127.0.0.1'], ['0x7f.0.0.1', '127.0.0.1'], ['0177.0.0.1', '127.0.0.1'], ['2130706433', '127.0.0.1'],
    ['0x7f000001', '127.0.0.1'], ['127.0.0.1.', '127.0.0.1'], ['[::1]', '::1'], ['[0:0:0:0:0:0:0:1]', '::1'], ['[::ffff:127.0.0.1]', '127.0.0.1'], ['[::FFFF:7f00:1]', '127.0.0.1'], ['[2001:DB8::1]', '2001:db8::1'],
    ['', null], ['.', null], ['..', null], ['a..b', null], ['.example.org', null], ['example.org..', null], ['evil\0.example.org', null], ['a b', null], ['a\r\nb', null], ['user@example.org', null], ['a%2eb', null], ['a%00b', null],
    ['a/b', null], ['a\\b', null], ['a?b', null], ['a#b', null], ['::1', null], ['[fe80::1%eth0]', null], ['[::1', null], ['999.1.1.1', null], ['1.2.3.4.5', null], ['*.example.org', null], ['-a.example', null], [`${'a'.repeat(64)}.example`, null],
    [`${'a.'.repeat(130)}b`, null], ['x'.repeat(2000), null], ['a|b', null], ['a<b', null], ['\u00ad', null],
  ]
  for (const [text, name] of spellings) assert.equal(hostOf(text)?.name ?? null, name, JSON.stringify(text))
  assert.deepEqual(authorityOf('example.org:8443', 80), { host: { name: 'example.org', kind: 'name' }, port: 8443 })
  assert.equal(authorityOf('example.org', 80)?.port, 80)
  for (const text of ['example.org', 'a:b', 'a:', 'a:0', 'a:65536', 'a:1:2', 'u@a:443', 'a:443 b', '[::1]443']) assert.equal(authorityOf(text, null), null, text)
})

test('an entry of a list is a host or all names below one, with a port or the two of the web', () => {
  for (const text of ['example.org', '*.example.org', 'example.org:8443', '192.0.2.1', '[2001:db8::1]:443', 'localhost']) assert.ok(HostPattern.safeParse(text).success, text)
  for (const text of ['', '*', '*:443', 'https://example.org', 'example.org/x', '*.1.2.3.4', '*example.org', 'a.*.org', '**', '*.', 'a b', 'u@h', 'h:0', 'h:99999', '*.*.org']) assert.ok(!HostPattern.safeParse(text).success, text)
  assert.ok(OwnerPattern.safeParse('*').success && OwnerPattern.safeParse('*:443').success)
  const lets = (text: string, host: string, port: number): boolean => matches(rule(text), hostOf(host) ?? assert.fail(host), port)
  assert.ok(lets('Example.org', 'example.ORG.', 443) && lets('example.org', 'example.org', 80))
  assert.ok(!lets('example.org', 'example.org', 8443) && lets('example.org:8443', 'example.org', 8443) && !lets('example.org:8443', 'example.org', 443))
  assert.ok(lets('*.example.org', 'a.example.org', 443) && lets('*.example.org', 'a.b.example.org', 443))
  for (const host of ['example.org', 'evilexample.org', 'example.org.evil.test', '127.0.0.1']) assert.ok(!lets('*.example.org', host, 443), host)
  assert.ok(lets('*', 'anything.test', 443) && !lets('*', '127.0.0.1', 443) && !lets('*', '[::1]', 443))
  assert.ok(lets('127.0.0.1', '0x7f.1', 80) && lets('127.0.0.1', '[::ffff:127.0.0.1]', 80))
})

test('a job asks for what its owner covers, and for nothing else', () => {
  const yes: [string, string][] = [['example.org', 'EXAMPLE.org.'], ['*.example.org', 'a.example.org'], ['*.example.org', '*.a.example.org'], ['*.example.org', '*.example.org'], ['*', '*.example.org'], ['*', 'example.org:443'], ['example.org', 'example.org:80'], ['h:8080', 'h:8080'], ['127.0.0.1:9', '127.1:9']]
  const no: [string, string][] = [['*.example.org', 'example.org'], ['example.org', '*.example.org'], ['a.example.org', '*.example.org'], ['*', '10.0.0.1'], ['*', 'h:8080'], ['h:443', 'h'], ['h', 'h:8080'], ['*.a.org', '*.org'], ['*.b.org', 'ab.org']]
  for (const [outer, inner] of yes) assert.ok(covers(rule(outer), rule(inner)), `${outer} covers ${inner}`)
  for (const [outer, inner] of no) assert.ok(!covers(rule(outer), rule(inner)), `${outer} does not cover ${inner}`)
  assert.equal(networkProblem(['example.org'], ['example.org']), null)
  assert.deepEqual(networkProblem([], ['example.org'])?.message, "No job may reach 'example.org' here: the owner allows no host.")
  assert.deepEqual(networkProblem(['a.example', '*.b.example'], ['x.b.example', 'c.example']), {
    code: 'network_not_allowed', origin: 'client', message: "No job may reach 'c.example' here: the owner allows a.example, *.b.example.",
    remedy: 'Put it into sandbox.network.allow of the configuration and restart the daemon, or leave it out.',
  })
})

test('addresses that are not out in the world are told by their kind', () => {
  const kinds: [string, RegExp | null][] = [
    ['8.8.8.8', null], ['1.1.1.1', null], ['2606:4700::1111', null], ['127.0.0.1', /loopback/], ['127.255.255.254', /loopback/], ['0.0.0.0', /unspecified/], ['10.1.2.3', /private/], ['172.16.0.1', /private/], ['172.31.255.255', /private/],
    ['172.32.0.1', null], ['192.168.1.1', /private/], ['169.254.169.254', /link-local/], ['100.64.0.1', /carrier/], ['224.0.0.1', /multicast/], ['255.255.255.255', /reserved/], ['192.0.0.1', /reserved/], ['198.18.0.1', /reserved/],
    ['::1', /loopback/], ['::', /unspecified/], ['::ffff:127.0.0.1', /loopback/], ['::ffff:169.254.169.254', /link-local/], ['::ffff:8.8.8.8', null], ['::127.0.0.1', /unspecified/], ['64:ff9b::7f00:1', /translated/], ['64:ff9b:1::a9fe:a9fe', /translated/],
    ['2002:7f00:1::', /translated/], ['fc00::1', /private/], ['fd00:ec2::254', /private/], ['fe80::1', /link-local/], ['fe80::1%eth0', /no plain address/], ['ff02::1', /multicast/], ['2001:db8::1', /reserved/], ['::ffff:0:127.0.0.1', /reserved/], ['::1:2', /unspecified/], ['4000::1', /reserved/], ['9000::1', /reserved/], ['2a00:1450::1', null], ['2001::1', /reserved/],
    ['example.org', /no plain address/], ['', /no plain address/],
  ]
  for (const [address, says] of kinds) {
    const found = whyNear(address, [])
    if (says === null) assert.equal(found, null, address)
    else assert.match(found ?? '', says, address)
  }
  for (const server of ['8.8.8.8', '127.0.0.1', '::1', '10.0.0.7', 'fd00::7', '100.64.0.1', '::ffff:10.0.0.7', '64:ff9b::8.8.8.8']) assert.ok(mayServe(server), server)
  for (const none of ['169.254.169.254', '::ffff:169.254.169.254', '64:ff9b::169.254.169.254', '2002:a9fe:a9fe::1', '::169.254.169.254', '::ffff:0:169.254.169.254', 'fe80::1', 'fe80::1%lo', 'fd00:ec2::254', '100.100.100.200', '0.0.0.0', '224.0.0.1', '']) assert.ok(!mayServe(none), none)
  const own = ['8.8.8.8/24', '2a00:1450:4001:80b::200e/64', '10.0.0.1/0']
  const near = (address: string): string | null => whyNear(address, own)
  assert.deepEqual(['8.8.8.8', '2a00:1450:4001:80b::200e'].map(near), ['an address of this box', 'an address of this box'])
  assert.deepEqual(['8.8.8.9', '2a00:1450:4001:80b::5', '::ffff:8.8.8.77'].map(near), Array(3).fill('an address of the network that this box is in'))
  assert.deepEqual(['8.8.9.8', '2a00:1450:4001:80c::5', '1.1.1.1'].map(near), [null, null, null])
})

test('the name in a TLS hello is read from any pieces, and nonsense throws nothing', async () => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const hello = async (servername: string): Promise<Buffer> => {
    const got = once(server, 'connection').then(async ([socket]) => {
      const [data] = await once(socket as NodeJS.EventEmitter, 'data') as [Buffer]
      ;(socket as { destroy(): void }).destroy()
      return data
    })
    tlsConnect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', servername }).on('error', () => undefined)
    return got
  }
  const named = await hello('host.example')
  const unnamed = await hello('')
  server.close()
  assert.deepEqual(serverNames(named), ['host.example'])
  assert.equal(serverNames(unnamed), 'other')
  for (let end = 0; end < named.length; end += 1) assert.equal(serverNames(named.subarray(0, end)), 'more', `of ${end} bytes`)
  // The same hello in records of 20 bytes.
  const body = named.subarray(5)
  const pieces: Buffer[] = []
  for (let at = 0; at < body.length; at += 20) {
    const piece = body.subarray(at, at + 20)
    pieces.push(Buffer.from([22, 3, 1, 0, piece.length]), piece)
  }
  assert.deepEqual(serverNames(Buffer.concat(pieces)), ['host.example'])
  assert.equal(serverNames(Buffer.from('GET / HTTP/1.1\r\n\r\n')), 'other')
  assert.equal(serverNames(Buffer.from([22, 3, 1, 255, 255, 1])), 'bad')
  assert.equal(serverNames(Buffer.from([22, 9, 9, 0, 5, 1, 0, 0, 1, 0])), 'bad')
  // It is looked at with each piece that comes: what would cost a second each time is given up on early.
  const crumbs = Buffer.concat(Array.from({ length: 1000 }, (_, at) => Buffer.from([22, 3, 1, 0, 1, [1, 0, 0x75, 0x30][at] ?? 0])))
  assert.equal(serverNames(crumbs.subarray(0, 6 * 100)), 'more')
  assert.equal(serverNames(crumbs), 'bad')
  let seed = 7
  const random = (below: number): number => (seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31) % below
  for (let round = 0; round < 20_000; round += 1) {
    const torn = Buffer.from(named)
    for (let n = 0; n < 3; n += 1) torn[random(torn.length)] = random(256)
    const found = serverNames(torn.subarray(0, 1 + random(torn.length)))
    assert.ok(Array.isArray(found) || ['more', 'other', 'bad'].includes(found))
  }
})
