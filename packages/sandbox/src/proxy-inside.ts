// Owns what a run with a network finds inside: the proxy's socket, the forwarder on its loopback, the variables that name it, the certificates TLS wants.
import { fileURLToPath } from 'node:url'

const port = 3128
const address = `http://127.0.0.1:${port}`
const forwarder = fileURLToPath(new URL('./proxy-forward.ts', import.meta.url))

/** Read by curl, git, pip, npm, cargo, go, and by Node itself with NODE_USE_ENV_PROXY. curl takes http_proxy in lower case only. */
export const proxyEnv: Readonly<Record<string, string>> = {
  ...Object.fromEntries(['HTTP_PROXY', 'HTTPS_PROXY', 'ALL_PROXY'].flatMap((name) => [[name, address], [name.toLowerCase(), address]])),
  NO_PROXY: 'localhost,127.0.0.1,::1', no_proxy: 'localhost,127.0.0.1,::1', NODE_USE_ENV_PROXY: '1',
}

/** Where distributions keep the certificates that everybody may read; keys of this box lie beside them, not in them. */
const certificates = ['/etc/ssl/certs', '/etc/ssl/cert.pem', '/etc/ssl/openssl.cnf', '/etc/pki/tls/certs', '/etc/pki/tls/openssl.cnf', '/etc/pki/ca-trust/extracted', '/etc/ca-certificates/extracted', '/etc/crypto-policies']

/** bubblewrap's arguments: the proxy's socket, this very Node and the forwarder. Read-only, because an ordinary user's Node may be their own file. */
export function insideArgs(socket: string): string[] {
  const files = [[socket, '/proxy/socket'], [process.execPath, '/proxy/node'], [forwarder, '/proxy/forward.mjs']] as const
  return ['--perms', '0755', '--dir', '/proxy', ...files.flatMap(([from, to]) => ['--ro-bind', from, to]), ...certificates.flatMap((path) => ['--ro-bind-try', path, path])]
}

// The forwarder is the child of a shell that ends at once, so the program has no child that it did not start; the words of the forwarder, and the end of its
// output, come when it listens. Small: its memory and its threads are the run's.
const script = 'ready=$( { /proxy/node --max-old-space-size=64 --v8-pool-size=0 /proxy/forward.mjs "$0" /proxy/socket 3>&1 < /dev/null > /dev/null 2>&1 & } ); '
  + '[ "$ready" = ready ] || echo "hearth: the way to the network could not be opened inside the limits of this run" >&2; exec "$@"'

/** The command, begun when the forwarder listens. */
export function withForwarder(argv: readonly string[]): string[] {
  return ['/bin/sh', '-c', script, String(port), ...argv]
}
