import type { Route } from './routes.js'

type Json = Record<string, unknown>

const parameter = (name: string, where: 'path' | 'query', description: string, schema: Json): Json =>
  ({ name, in: where, required: where === 'path', description, schema })

const operationOf = (route: Route): Json => {
  const isAct = route.method !== 'GET'
  const parameters = [...route.path.matchAll(/:(\w+)/g)].map(([, name]) => parameter(name ?? '', 'path', 'Percent-encoded.', { type: 'string', minLength: 1, maxLength: 128 }))
  for (const [name, description] of Object.entries(route.query ?? {})) parameters.push(parameter(name, 'query', description, { type: 'string' }))
  return {
    operationId: `${route.method} ${route.path}`, summary: route.does, tags: [`role ${route.role}`], parameters,
    ...route.method === 'POST' || route.method === 'PUT' ? { requestBody: { required: true, content: { 'application/json': { schema: { type: 'object' }, example: {} } } } } : {},
    responses: {
      200: { description: isAct ? 'Done, and recorded in the audit trail.' : 'What is asked for.' },
      default: { description: 'Refused or failed.', content: { 'application/json': { schema: { $ref: '#/components/schemas/Refusal' } } } },
    },
  }
}

/** Where a path of ours would be in an OpenAPI document: `:id` is `{id}` there. */
export const documentPath = (path: string): string => path.replace(/:(\w+)/g, '{$1}')

/** Describes the operator API as an OpenAPI 3.1 document, made of its routes. */
export const adminDocument = (version: string, routes: readonly Route[]): Json => {
  const paths: Record<string, Json> = {}
  for (const route of routes) (paths[documentPath(route.path)] ??= {})[route.method.toLowerCase()] = operationOf(route)
  return {
    openapi: '3.1.0',
    info: {
      title: 'qkme operator API', version, license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      description: 'For operators, by their certificate or on the Unix socket. Views can be tried here; acts cannot: this page may not send them.',
    },
    servers: [{ url: '/' }],
    paths,
    components: {
      schemas: {
        Refusal: { type: 'object', required: ['code', 'message'], properties: { code: { type: 'string', examples: ['NOT_FOUND'] }, message: { type: 'string' } } },
      },
    },
  }
}
