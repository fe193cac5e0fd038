// Turns a captured terminal screen (text with SGR colours on standard input) into an SVG on standard output: the picture in the README.
// tmux new-session -d -x 100 -y 60 'scripts/try; sleep 5' ... tmux capture-pane -epS - | node scripts/picture.ts > docs/try.svg
import { readFileSync } from 'node:fs'

type Style = { color: string; bold: boolean; dim: boolean }

const plain: Style = { color: '#d7dae0', bold: false, dim: false }
const colors: Readonly<Record<number, string>> = {
  30: '#3b4048', 31: '#f47067', 32: '#8ddb8c', 33: '#e0af68', 34: '#6cb6ff', 35: '#dcbdfb', 36: '#76e3ea', 37: '#d7dae0', 90: '#8b949e',
}
const cell = { width: 7.8, height: 18, size: 13 }
const margin = 16

const lines = readFileSync(0, 'utf8').replace(/\s+$/, '').split('\n')
const columns = Math.max(...lines.map((line) => line.replace(/\u001b\[[0-9;]*m/g, '').length))
const width = Math.ceil(columns * cell.width + 2 * margin)
const height = lines.length * cell.height + 2 * margin

let style = plain
const rows = lines.map((line, index) => {
  let column = 0
  const spans = line.split(/(\u001b\[[0-9;]*m)/).map((piece) => {
    if (piece.startsWith('\u001b[')) {
      for (const code of piece.slice(2, -1).split(';').map(Number)) style = styled(style, code)
      return ''
    }
    const x = margin + column * cell.width
    column += piece.length
    if (piece.trim() === '') return ''
    return `<tspan x="${x.toFixed(1)}" fill="${style.color}"${style.bold ? ' font-weight="bold"' : ''}${style.dim ? ' opacity="0.6"' : ''}>${escaped(piece)}</tspan>`
  })
  return `<text y="${margin + (index + 0.8) * cell.height}" xml:space="preserve">${spans.join('')}</text>`
})
console.log(`<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="ui-monospace, SFMono-Regular, Menlo, 'DejaVu Sans Mono', monospace" font-size="${cell.size}">
<rect width="100%" height="100%" rx="8" fill="#1c2128"/>
${rows.join('\n')}
</svg>`)

function styled(before: Style, code: number): Style {
  if (code === 0) return plain
  if (code === 1) return { ...before, bold: true }
  if (code === 2) return { ...before, dim: true }
  if (code === 22) return { ...before, bold: false, dim: false }
  if (code === 39) return { ...before, color: plain.color }
  const color = colors[code]
  return color === undefined ? before : { ...before, color }
}

function escaped(text: string): string {
  return text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;')
}
