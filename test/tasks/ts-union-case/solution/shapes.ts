export type Shape = { kind: 'circle'; radius: number } | { kind: 'rectangle'; width: number; height: number } | { kind: 'triangle'; base: number; height: number }

export function area(shape: Shape): number {
  switch (shape.kind) {
    case 'circle': return Math.PI * shape.radius ** 2
    case 'rectangle': return shape.width * shape.height
    case 'triangle': return shape.base * shape.height / 2
  }
}

export function perimeter(shape: Shape): number {
  switch (shape.kind) {
    case 'circle': return 2 * Math.PI * shape.radius
    case 'rectangle': return 2 * (shape.width + shape.height)
    case 'triangle': return shape.base + 2 * Math.hypot(shape.base / 2, shape.height)
  }
}

export function describe(shape: Shape): string {
  switch (shape.kind) {
    case 'circle': return 'circle ' + shape.radius
    case 'rectangle': return 'rectangle ' + shape.width + ' x ' + shape.height
    case 'triangle': return 'triangle ' + shape.base + ' x ' + shape.height
  }
}
