// Reads what the rules need out of a source file with TypeScript's own parser, so that comments and strings never count as code.
import ts from 'typescript'

export type Import = { specifier: string; line: number }

export type Syntax = {
  /** import, export from, import(), import types, require() and process.getBuiltinModule(): every module a file names. */
  imports: Import[]
  /** Uses of process.env and process.exit (however reached: process, globalThis.process, node:process). */
  processUses: { what: 'process.env' | 'process.exit'; line: number }[]
  /** true when the file has statements and all of them import or re-export. */
  onlyReExports: boolean
}

export function parse(file: string, text: string): Syntax {
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true)
  const imports: Import[] = []
  const processUses: Syntax['processUses'] = []
  const line = (node: ts.Node): number => source.getLineAndCharacterOfPosition(node.getStart(source)).line + 1
  const add = (node: ts.Node | undefined): void => {
    if (node !== undefined && ts.isStringLiteralLike(node)) imports.push({ specifier: node.text, line: line(node) })
  }
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) add(node.moduleSpecifier)
    else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) add(node.argument.literal)
    else if (ts.isCallExpression(node) && loadsModule(node.expression)) add(node.arguments[0])
    if (ts.isPropertyAccessExpression(node) && isProcess(node.expression) && (node.name.text === 'env' || node.name.text === 'exit')) {
      processUses.push({ what: `process.${node.name.text}`, line: line(node) })
    }
    if (ts.isImportDeclaration(node) && namesProcess(node)) {
      for (const name of importedNames(node)) if (name === 'env' || name === 'exit') processUses.push({ what: `process.${name}`, line: line(node) })
    }
    // const { env } = process
    if (ts.isVariableDeclaration(node) && node.initializer !== undefined && isProcess(node.initializer) && ts.isObjectBindingPattern(node.name)) {
      for (const element of node.name.elements) {
        const name = (element.propertyName ?? element.name).getText(source)
        if (name === 'env' || name === 'exit') processUses.push({ what: `process.${name}`, line: line(node) })
      }
    }
    ts.forEachChild(node, visit)
  }
  visit(source)
  const statements = source.statements
  const reExports = statements.filter((one) => ts.isExportDeclaration(one) && one.moduleSpecifier !== undefined)
  const others = statements.filter((one) => !ts.isImportDeclaration(one) && !ts.isExportDeclaration(one))
  return { imports, processUses, onlyReExports: reExports.length > 0 && others.length === 0 }
}

function loadsModule(callee: ts.Expression): boolean {
  if (callee.kind === ts.SyntaxKind.ImportKeyword) return true
  if (ts.isIdentifier(callee)) return callee.text === 'require'
  return ts.isPropertyAccessExpression(callee) && (callee.name.text === 'getBuiltinModule' || callee.name.text === 'resolve' && callee.getText() === 'import.meta.resolve')
}

function isProcess(node: ts.Expression): boolean {
  if (ts.isIdentifier(node)) return node.text === 'process'
  return ts.isPropertyAccessExpression(node) && node.name.text === 'process' && ts.isIdentifier(node.expression) && node.expression.text === 'globalThis'
}

function namesProcess(node: ts.ImportDeclaration): boolean {
  return ts.isStringLiteral(node.moduleSpecifier) && /^(node:)?process$/.test(node.moduleSpecifier.text)
}

function importedNames(node: ts.ImportDeclaration): string[] {
  const bindings = node.importClause?.namedBindings
  return bindings !== undefined && ts.isNamedImports(bindings) ? bindings.elements.map((one) => (one.propertyName ?? one.name).text) : []
}
