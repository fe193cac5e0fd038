// Owns which files may never be in a packet, by their names alone. Pure: it opens nothing and follows no link; ask for each name that a file has (links.ts).
import { posix } from 'node:path'

/** Names that hold keys by custom; the reason is what a person is told. Matched in lower case, against the file's whole path. */
const never: readonly (readonly [glob: string, why: string])[] = [
  ['**/.env', 'environment with secrets'], ['**/.env.*', 'environment with secrets'], ['**/*.env', 'environment with secrets'], ['**/.envrc', 'environment with secrets'], ['**/.flaskenv', 'environment with secrets'],
  ['**/*.{pem,key,p8,p12,pfx,pkcs12,jks,keystore,bcfks,ppk,asc,gpg,pgp,kdbx,kdb,keychain,keychain-db,agekey,snk,mobileprovision,ovpn}', 'key file'],
  ['**/id_{rsa,dsa,ecdsa,ed25519,ecdsa_sk,ed25519_sk,xmss}*', 'SSH key'], ['**/*_{rsa,dsa,ecdsa,ed25519}', 'SSH key'], ['**/ssh_host_*_key', 'SSH key'],
  ['**/.{ssh,gnupg,aws,azure,kube,docker,oci,aliyun,password-store,config/gcloud,config/gh,config/hub,config/op,config/doctl,config/rclone,config/hearth,terraform.d}/**', 'folder of credentials'],
  ['**/.{netrc,pgpass,my.cnf,mylogin.cnf,npmrc,yarnrc,yarnrc.yml,pypirc,git-credentials,htpasswd,dockercfg,boto,s3cfg,vault-token,databrickscfg,rediscli_auth,cargo/credentials,cargo/credentials.toml,bash_history,zsh_history,python_history,node_repl_history,psql_history,mysql_history}', 'file of credentials'],
  ['**/{_netrc,htpasswd,kubeconfig,kubeconfig.*,*.kubeconfig,credentials,credentials.json,credentials.yml,credentials.yaml,client_secret*.json,service-account*.json,service_account*.json,application_default_credentials.json,gha-creds-*.json}', 'file of credentials'],
  ['**/secrets.{yml,yaml,json,toml,env,ini,properties,php,py,rb}', 'file of secrets'], ['**/*.tfstate', 'Terraform state'], ['**/*.tfstate.*', 'Terraform state'], ['**/*.tfvars', 'Terraform variables'], ['**/*.tfvars.json', 'Terraform variables'], ['**/.terraform/**', 'Terraform state'],
  ['**/{wallet.dat,*.wallet}', 'wallet'], ['**/{logins.json,key4.db,cookies.sqlite,login data}', "browser's passwords"], ['**/etc/{shadow,gshadow,sudoers}', 'accounts of this system'], ['**/shadow', 'accounts of this system'],
  ['**/proc/*/environ', 'environment of a program'], ['**/.git/config', 'address with a password, perhaps'],
]
/** Made to be shown, though their names are like those. */
const shown: readonly string[] = ['**/*.pub', '**/.env.{example,sample,template,dist,defaults,schema}', '**/{example,sample,template}.env', '**/*.env.{example,sample,template}', '**/*.tfvars.{example,sample}']

export type PathRule = { rule: 'name' | 'owner' | 'project'; glob: string; why: string }
export type PathLists = {
  /** `escalation.neverPaths` of the configuration. */
  owner: readonly string[]
  /** Globs of the project's files that never leave. */
  localOnly: readonly string[]
  /** Where the job's folder lies in its project; absent = it is the project's own. Globs with a slash are about the path from there too. */
  within?: string
}

/** The glob of a project whose folder lies at `inside` of the job's, as one about paths of the job. Signs that globs know stand for any character. */
export function globInside(inside: string, glob: string): string {
  const folder = inside.replace(/[^\p{L}\p{N}/._-]/gu, '?')
  const plain = glob.replaceAll('\\', '/').replace(/^\.?\//, '')
  return plain.replace(/\/$/, '').includes('/') ? `${folder}/${plain}` : `${folder}/**/${plain}`
}

/** The project keeps it here: it is one of its local-only files, or a folder of which one of them may be the content. */
export function keptByProject(name: string, { localOnly, within }: PathLists): boolean {
  return localOnly.length > 0 && namesOf([name], within).some((one) => localOnly.some((glob) => covers(glob, one) || covers(glob, `${one}/x`)))
}

function namesOf(names: readonly string[], within: string | undefined): string[] {
  return [...names, ...(within === undefined ? [] : names.filter((name) => !name.startsWith('/')).map((name) => `${within}/${name}`))].map(plainPath)
}

/**
 * Why a file may not be in a packet; null = its name says nothing against it. `names`: what it is called relative to the folder, and where it really is, when a link leads
 * there. A glob without a slash is about the name alone, at any depth; one with a slash about the path from the folder. Lists of owner and project go before the names that
 * are made to be shown.
 */
export function neverLeaves(names: readonly string[], lists: PathLists): PathRule | null {
  for (const path of namesOf(names, lists.within)) {
    const listed = (globs: readonly string[]): string | undefined => globs.find((glob) => covers(glob, path))
    const byOwner = listed(lists.owner)
    if (byOwner !== undefined) return { rule: 'owner', glob: byOwner, why: 'the owner keeps it here (escalation.neverPaths)' }
    const byProject = listed(lists.localOnly)
    if (byProject !== undefined) return { rule: 'project', glob: byProject, why: 'its project keeps it here (local-only)' }
    if (shown.some((glob) => posix.matchesGlob(path, glob))) continue
    const byName = never.find(([glob]) => posix.matchesGlob(path, glob))
    if (byName !== undefined) return { rule: 'name', glob: byName[0], why: byName[1] }
  }
  return null
}

/** One spelling for what one file can be called: no look-alikes, `.`, `..`, doubled slashes, backslashes, or blanks and dots at the end. */
export function plainPath(name: string): string {
  const flat = name.normalize('NFKC').replaceAll('\\', '/').replace(/[\p{Cf}\p{Cc}]/gu, '').toLowerCase()
  return posix.normalize(`/${flat}`).split('/').map((part) => part.replace(/[. ]+$/, (end) => (part === end ? part : ''))).join('/').slice(1)
}

function covers(glob: string, path: string): boolean {
  const plain = glob.normalize('NFKC').replaceAll('\\', '/').toLowerCase().replace(/^\.?\//, '')
  const folder = plain.endsWith('/') ? `${plain}**` : plain
  const wanted = plain.replace(/\/$/, '').includes('/') ? folder : `**/${folder}`
  // A folder is meant with all that is in it.
  return posix.matchesGlob(path, wanted) || posix.matchesGlob(path, `${wanted}/**`)
}
