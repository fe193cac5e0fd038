// A value behind a word that tells of a password, in the forms in which files, statements, commands and people write it: found in all of them, and nothing where no value stands.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { deflateSync, gzipSync, zstdCompressSync } from 'node:zlib'
import { KnownTexts } from '../../packages/daemon/src/egress/scan-known.ts'
import { scan } from '../../packages/daemon/src/egress/scan.ts'

const none = new KnownTexts()
const base64 = (text: string): string => Buffer.from(text).toString('base64')
const values = ['Tr0ub4dor&3', 'hunter2x', 'q7Zr4vTm2KpX9wLs', 'S3cr3t!', 'winter2024', 'Passw0rd!', 'p@ssword123', 'letmein99']

const forms: Readonly<Record<string, (v: string) => string>> = {
  xml: (v) => `<password>${v}</password>`,
  xmlattr: (v) => `<user name="x" password="${v}"/>`,
  xmlsp: (v) => `<password>\n  ${v}\n</password>`,
  xmlns: (v) => `<ns:Password xsi:type="xs:string">${v}</ns:Password>`,
  xmlcdata: (v) => `<password><![CDATA[${v}]]></password>`,
  xmlkv: (v) => `<entry key="db.password">${v}</entry>`,
  xmlprop: (v) => `<property name="password" value="${v}"/>`,
  xmladd: (v) => `<add key="DbPassword" value="${v}" />`,
  plist: (v) => `<key>password</key>\n<string>${v}</string>`,
  xmlpwd: (v) => `<pwd>${v}</pwd>`,
  xmlpass: (v) => `<pass>${v}</pass>`,
  xmlparam: (v) => `<param name="password">${v}</param>`,
  html: (v) => `<input type="password" name="pw" value="${v}">`,
  html2: (v) => `<input value="${v}" type="password">`,
  ini: (v) => `[db]\npassword = ${v}\n`,
  inicolon: (v) => `password : ${v}`,
  props: (v) => `spring.datasource.password=${v}`,
  propsp: (v) => `db.password   ${v}`,
  yaml: (v) => `password: ${v}`,
  yamlq: (v) => `password: '${v}'`,
  yamlblock: (v) => `password: |\n  ${v}\n`,
  yamlfold: (v) => `password: >-\n  ${v}\n`,
  yamllist: (v) => `- name: DB_PASSWORD\n  value: ${v}`,
  yamltag: (v) => `password: !!str ${v}`,
  yamlflow: (v) => `{user: a, password: ${v}}`,
  toml: (v) => `password = """${v}"""`,
  json: (v) => `{"password":"${v}"}`,
  jsonesc: (v) => JSON.stringify(JSON.stringify({password:v})),
  jsonkv: (v) => `{"key":"password","value":"${v}"}`,
  jsonnv: (v) => `{"name": "DB_PASSWORD", "value": "${v}"}`,
  jsonvn: (v) => `{"value": "${v}", "name": "DB_PASSWORD"}`,
  jsonarr: (v) => `{"password": ["${v}"]}`,
  sql1: (v) => `ALTER USER bob WITH PASSWORD '${v}';`,
  sql2: (v) => `CREATE USER 'a'@'%' IDENTIFIED BY '${v}';`,
  sql3: (v) => `CREATE LOGIN x WITH PASSWORD = '${v}'`,
  sql4: (v) => `INSERT INTO users (name, password) VALUES ('bob', '${v}');`,
  sql5: (v) => `SET PASSWORD FOR 'a'@'b' = PASSWORD('${v}');`,
  sql6: (v) => `UPDATE users SET password='${v}' WHERE id=1`,
  sql7: (v) => `GRANT ALL ON x TO y IDENTIFIED BY "${v}"`,
  url: (v) => `https://x.example/?user=a&password=${encodeURIComponent(v)}&x=1`,
  url2: (v) => encodeURIComponent(encodeURIComponent(`password=${v}`)),
  form: (v) => `user=a&pass=${v}`,
  jdbc: (v) => `jdbc:mysql://h/db?user=a&password=${v}`,
  ado: (v) => `Server=x;User Id=sa;Password=${v};`,
  adopwd: (v) => `Driver={x};Uid=sa;Pwd=${v};`,
  env: (v) => `export DB_PASSWORD=${v}`,
  envq: (v) => `DB_PASS="${v}"`,
  docker: (v) => `ENV DB_PASSWORD ${v}`,
  dockerarg: (v) => `docker run -e MYSQL_ROOT_PASSWORD=${v} mysql`,
  ps: (v) => `$env:DB_PASSWORD = "${v}"`,
  ps2: (v) => `ConvertTo-SecureString "${v}" -AsPlainText -Force`,
  ps3: (v) => `-Password "${v}"`,
  cmd: (v) => `set PASSWORD=${v}`,
  curl: (v) => `curl -u admin:${v} https://x`,
  echo: (v) => `echo "${v}" | sudo -S ls`,
  sshpass: (v) => `sshpass -p '${v}' ssh x`,
  chpasswd: (v) => `echo root:${v} | chpasswd`,
  htp: (v) => `htpasswd -b f bob ${v}`,
  redis: (v) => `requirepass ${v}`,
  redis2: (v) => `redis-cli -a ${v} ping`,
  mongo: (v) => `mongo -u admin -p ${v}`,
  pgpw: (v) => `PGPASSWORD=${v} psql`,
  ftp: (v) => `login bob password ${v}`,
  netrc: (v) => `machine x\nlogin bob\npassword ${v}`,
  wpa: (v) => `psk="${v}"`,
  wifi: (v) => `wpa-psk ${v}`,
  ansible: (v) => `ansible_ssh_pass=${v}`,
  ldap: (v) => `ldapsearch -w ${v} -D cn=x`,
  openssl: (v) => `openssl enc -pass pass:${v}`,
  concat: (v) => `password = "${v.slice(0,4)}" + "${v.slice(4)}"`,
  concat2: (v) => `password = "${v.slice(0,4)}" \\\n  "${v.slice(4)}"`,
  phpc: (v) => `$password = '${v.slice(0,4)}' . '${v.slice(4)}';`,
  vb: (v) => `Password = "${v.slice(0,4)}" & "${v.slice(4)}"`,
  cont: (v) => `DB_PASSWORD=${v.slice(0,4)}\\\n${v.slice(4)}`,
  propcont: (v) => `password=${v.slice(0,4)}\\\n    ${v.slice(4)}`,
  yamlq2: (v) => `password: "${v.slice(0,4)}\\\n  ${v.slice(4)}"`,
  b64: (v) => base64(`password: ${v}\n`),
  b64b64: (v) => base64(base64(`password: ${v}\n`)),
  b64x3: (v) => base64(base64(base64(`password: ${v}\n`))),
  gz: (v) => gzipSync(`password: ${v}\n`).toString('base64'),
  zlib: (v) => deflateSync(`password: ${v}\n`).toString('base64'),
  gzhex: (v) => gzipSync(`password: ${v}\n`).toString('hex'),
  hexb64: (v) => Buffer.from(base64(`password: ${v}`)).toString('hex'),
  utf16: (v) => Buffer.from(`password: ${v}`,'utf16le').toString('base64'),
  utf16be: (v) => Buffer.from(`password: ${v}`,'utf16le').swap16().toString('base64'),
  utf16nul: (v) => `password: ${v}`.split('').join('\0'),
  k8s: (v) => `data:\n  password: ${base64(v)}`,
  zero: (v) => `pass\u200bword: ${v.slice(0,3)}\u200b${v.slice(3)}`,
  homo: (v) => `pаssword: ${v}`,
  full: (v) => `ｐａｓｓｗｏｒｄ： ${v}`,
  ent: (v) => `password&#61;${v}`,
  pct2: (v) => `password%253D${v}`,
  bs: (v) => `password\\u003d${v}`,
  octal: (v) => `password=${Array.from(v, (c) =>'\\'+c.charCodeAt(0).toString(8)).join('')}`,
  md: (v) => `**Password:** \`${v}\``,
  md2: (v) => `| Password | ${v} |`,
  prose: (v) => `the password is ${v}`,
  prose2: (v) => `Passwort: ${v}`,
  mdl: (v) => `- Password: ${v}`,
  rst: (v) => `:password: ${v}`,
  py: (v) => `login(user="a", password="${v}")`,
  pydict: (v) => `{'password': '${v}'}`,
  go: (v) => `Password: "${v}",`,
  rust: (v) => `password: "${v}".to_string()`,
  ruby: (v) => `:password => '${v}'`,
  ruby2: (v) => `password: '${v}'`,
  swift: (v) => `let password: String = "${v}"`,
  ts: (v) => `const password: string = '${v}'`,
  c: (v) => `#define PASSWORD "${v}"`,
  cs: (v) => `const char *password = "${v}";`,
  java: (v) => `setPassword("${v}")`,
  perl: (v) => `password => "${v}"`,
  lisp: (v) => `(password "${v}")`,
  csv: (v) => `user,password\nbob,${v}`,
  nix: (v) => `password = "${v}";`,
  hcl: (v) => `password = "${v}"`,
  php: (v) => `define('DB_PASSWORD', '${v}');`,
  log: (v) => `INFO login user=bob password=${v} ok`,
  dbl: (v) => `password="${v}"`,
  tcl: (v) => `set password ${v}`,
  elixir: (v) => `password: "${v}"`,
  scala: (v) => `val password = "${v}"`,
  kotlin: (v) => `var password: String? = "${v}"`,
  lua: (v) => `password = [[${v}]]`,
}

test('every form with every value: 99 of 100 at least', async (t) => {
  const missed: string[] = []
  let all = 0
  for (const [name, form] of Object.entries(forms)) {
    for (const value of values) {
      all += 1
      const text = `first\n${form(value)}\nlast`
      const found = await scan(text, none)
      const left = found.reduceRight((rest, { start, end }) => rest.slice(0, start) + rest.slice(end), text)
      if (found.length === 0 || left.includes(value)) missed.push(`${name} ${value}`)
    }
  }
  t.diagnostic(`${all - missed.length} of ${all} in ${Object.keys(forms).length} forms`)
  assert.ok(missed.length <= all / 100, missed.join('; '))
})

test('the same forms with what is no value give nothing', async () => {
  const alarms: string[] = []
  // Where whoever writes a word means it, and where a word in base64 looks as a value does.
  const strict = new Set(['curl', 'sshpass', 'ftp', 'netrc', 'k8s', 'utf16', 'utf16be'])
  for (const [name, form] of Object.entries(forms).filter(([one]) => !strict.has(one))) {
    for (const word of ['required', 'string', '${DB_PASSWORD}', '<your password>', 'changeme', 'process.env.DB_PASSWORD', '********']) {
      for (const { start, end } of await scan(`first\n${form(word)}\nlast`, none)) alarms.push(`${name}: ${form(word).slice(Math.max(0, start - 6), end - 6)}`)
    }
  }
  assert.deepEqual(alarms, [])
})

test('tables, sentences and code about passwords give nothing', async () => {
  for (const text of [
    '| Password | sha256 |', '| `password` | string(64) |', '| token | base64 |', 'the password is base64-encoded', 'The password is required.', 'password is 12 characters', 'a password is at least 8 chars', 'Password is case-sensitive2',
    'const { user, password } = config\nconst a, b1 = 2', 'user,password\nstring,string', 'name, password\nfoo, bar', 'INSERT INTO users (name, password) VALUES (?, ?)', "INSERT INTO users (name, password) VALUES ('bob', NULL)", 'IDENTIFIED BY :password',
    '<password-field id="pw1"></password-field>', '<label>password</label> <b>abc123</b>', '<compass>north42</compass>', '<passwordPolicy>level2</passwordPolicy>', '<input type="text" name="x" value="abc123">', '<input type="password" value="">',
    'echo "step2" | tee log', 'ldapsearch -x -b dc=x', 'redis-cli ping', 'mongo --port 27017', 'set password_reset 1', 'password confirmation', 'setPassword(newPassword2)', 'hashPassword("scrypt")', '#define PASSWORD_MAX 64', "it('password 2', () => {})",
  ]) assert.deepEqual((await scan(text, none)).map(({ start, end }) => text.slice(start, end)), [], text)
})

test('what is packed is looked into, as deep as three times and no further; a bomb costs no memory', async () => {
  const words = 'password: hunter2x\n'
  const packed = [gzipSync(words), deflateSync(words), zstdCompressSync(words), gzipSync(`${'x y '.repeat(200)}\n${words}${'z '.repeat(400)}`)].flatMap((bytes) => [bytes.toString('base64'), bytes.toString('base64url'), bytes.toString('hex')])
  for (const text of [...packed, base64(base64(base64(words))), base64(gzipSync(words).toString('base64')), gzipSync(base64(words)).toString('base64'), base64(packed[0] ?? '')]) {
    const found = await scan(`data: ${text} end`, none)
    assert.deepEqual(found.map(({ start, end }) => [start, end]), [[6, 6 + text.length]], text.slice(0, 60))
  }
  for (const text of [base64(base64(base64(base64(words)))), gzipSync(Buffer.from('nothing of weight stands in here at all')).toString('base64')]) assert.deepEqual(await scan(text, none), [])
  // What lies behind the first part of something that unpacks to much is not seen; its beginning is.
  const bomb = gzipSync(Buffer.concat([Buffer.from(words), Buffer.alloc(30_000_000, 'x ')])).toString('base64')
  const before = process.memoryUsage().rss
  assert.equal((await scan(bomb, none)).length, 1)
  assert.equal((await scan(`${bomb} `.repeat(10), none)).length > 0, true)
  assert.ok(process.memoryUsage().rss - before < 200e6)
})
