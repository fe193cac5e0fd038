export type Shape = { kind: 'circle'; radius: number } | { kind: 'rectangle'; width: number; height: number }

export function area(shape: Shape): number {
  switch (shape.kind) {
    case 'circle': return Math.PI * shape.radius ** 2
    case 'rectangle': return shape.width * shape.height
  }
}

export function perimeter(shape: Shape): number {
  switch (shape.kind) {
    case 'circle': return 2 * Math.PI * shape.radius
    case 'rectangle': return 2 * (shape.width + shape.height)
  }
}

export const describe = (shape: Shape): string => (shape.kind === 'circle' ? 'circle ' + shape.radius : 'rectangle ' + shape.width + ' x ' + shape.height)
