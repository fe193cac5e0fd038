// Owns what all our pictures are made of: text, numbers on axes, steps of a scale, colours that are told apart. Pure.

/** Distinct in hue and in lightness, on white and on near-black. */
export const colours = ['#1f8a66', '#c9621f', '#4a73c4', '#9a4f9f']

/** A step of 1, 2 or 5 times a power of ten that makes three to six lines. */
export function niceStep(top: number): number {
  const rough = Math.max(top, 1e-6) / 4
  const power = 10 ** Math.floor(Math.log10(rough))
  return power * ([1, 2, 5].find((one) => one * power >= rough) ?? 10)
}

export function label(value: number): string {
  return value >= 1000 ? Math.round(value).toString().replace(/\B(?=(\d{3})+$)/g, ',') : String(Number(value.toPrecision(3)))
}

export function text(x: number, y: number, value: string, attributes: string): string {
  return `<text x="${round(x)}" y="${round(y)}" ${attributes}>${escaped(value)}</text>`
}

export function round(value: number): number {
  return Math.round(value * 10) / 10
}

export function escaped(value: string): string {
  return value.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')
}
