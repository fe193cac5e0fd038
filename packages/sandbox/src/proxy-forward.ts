// The program beside a sandboxed one that has a network: takes connections on its loopback and hands them to the proxy's socket. Judges nothing.
// It runs inside the sandbox, where it is worth no more than any other program there. Plain JavaScript, so that it starts without a translation.
import { closeSync, writeSync } from 'node:fs'
import { connect, createServer } from 'node:net'

const [, , port, path] = process.argv

createServer({ allowHalfOpen: true, noDelay: true }, (near) => {
  const far = connect({ path: String(path), allowHalfOpen: true })
  near.pipe(far).pipe(near)
  near.on('error', () => far.destroy())
  far.on('error', () => near.destroy())
  near.on('close', () => far.destroy())
  far.on('close', () => near.destroy())
}).listen(Number(port), '127.0.0.1', () => {
  writeSync(3, 'ready')
  closeSync(3)
})
