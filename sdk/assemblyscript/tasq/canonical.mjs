// asc exports identifiers only; the canonical names have colons and slashes.
// Not a subclass of asc's Transform, because that would have to be found from here.
export default class {
  afterCompile(module) {
    const handler = 'tasq:handler/handler@0.1.0#handle';
    for (const [from, to] of [['handle', handler], ['post_handle', `cabi_post_${handler}`]]) {
      module.removeExport(from);
      module.addFunctionExport(`tasq/exports/${from}`, to);
    }
  }
}
