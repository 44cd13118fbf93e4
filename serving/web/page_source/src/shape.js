// The shape of a head: a place between the loop's iterations, and what sliders move.

/** Vertices and normals of a head, in mm; no part of it knows about the screen. */
export class HeadShape {
  /** What api.headArrays gives. */
  constructor({ facts, arrays }) {
    this.labels = facts.labels;
    this.names = facts.names;
    this.kinds = facts.kinds;
    this.vertexOfCorner = arrays.vertex.data;
    this.uv = arrays.uv.data;
    this.triangles = arrays.triangles.data;
    this.stations = arrays.vertices.shape[0];
    this._count = arrays.vertices.shape[1];
    this._shapes = arrays.vertices.data;
    this._values = arrays.values.data;
    this._moves = arrays.moves.data;
    this._step = arrays.step_mm.data;
    this._vertexTriangles = this.triangles.map((corner) => this.vertexOfCorner[corner]);
    this._vertices = new Float32Array(3 * this._count);
    this._normals = new Float32Array(3 * this._count);
    this.positions = new Float32Array(3 * this.vertexOfCorner.length);
    this.normals = new Float32Array(3 * this.vertexOfCorner.length);
    this.station = this.stations - 1;
    /** Slider number -> value, for those that were moved by hand. */
    this.edits = new Map();
  }

  /** The value that the reconstruction has for a slider, at the current place. */
  value(slider) {
    const [first, second, share] = this._between();
    const count = this.names.length;
    const low = this._values[first * count + slider];
    const high = this._values[second * count + slider];
    return low + share * (high - low);
  }

  /** Smallest and largest value of a slider over all iterations. */
  range(slider) {
    const values = [];
    for (let k = 0; k < this.stations; k++) {
      values.push(this._values[k * this.names.length + slider]);
    }
    return [Math.min(...values), Math.max(...values)];
  }

  /** Mean distance in mm between the shapes of two whole stations. */
  distance(one, other) {
    let sum = 0;
    for (let k = 0; k < this._count; k++) {
      const [p, q] = [3 * (one * this._count + k), 3 * (other * this._count + k)];
      sum += Math.hypot(
        this._shapes[p] - this._shapes[q],
        this._shapes[p + 1] - this._shapes[q + 1],
        this._shapes[p + 2] - this._shapes[q + 2],
      );
    }
    return sum / this._count;
  }

  /** Computes positions and normals for the current place and edits. */
  update() {
    this._blend();
    for (const [slider, value] of this.edits) this._add(slider, value - this.value(slider));
    this._computeNormals();
    this.vertexOfCorner.forEach((vertex, corner) => {
      for (let axis = 0; axis < 3; axis++) {
        this.positions[3 * corner + axis] = this._vertices[3 * vertex + axis];
        this.normals[3 * corner + axis] = this._normals[3 * vertex + axis];
      }
    });
  }

  _between() {
    const first = Math.min(Math.floor(this.station), this.stations - 1);
    return [first, Math.min(first + 1, this.stations - 1), this.station - first];
  }

  _blend() {
    const [first, second, share] = this._between();
    const size = 3 * this._count;
    const [low, high] = [first * size, second * size];
    for (let k = 0; k < size; k++) {
      const start = this._shapes[low + k];
      this._vertices[k] = start + share * (this._shapes[high + k] - start);
    }
  }

  _add(slider, change) {
    if (change === 0) return;
    const size = 3 * this._count;
    const scale = change * this._step[slider];
    for (let k = 0, m = slider * size; k < size; k++, m++) {
      this._vertices[k] += scale * this._moves[m];
    }
  }

  /** Normals at the vertices, so that they are smooth across the texture's seams. */
  _computeNormals() {
    const [v, n, t] = [this._vertices, this._normals, this._vertexTriangles];
    n.fill(0);
    for (let k = 0; k < t.length; k += 3) {
      const [a, b, c] = [3 * t[k], 3 * t[k + 1], 3 * t[k + 2]];
      const [ux, uy, uz] = [v[b] - v[a], v[b + 1] - v[a + 1], v[b + 2] - v[a + 2]];
      const [wx, wy, wz] = [v[c] - v[a], v[c + 1] - v[a + 1], v[c + 2] - v[a + 2]];
      const [x, y, z] = [uy * wz - uz * wy, uz * wx - ux * wz, ux * wy - uy * wx];
      for (const vertex of [a, b, c]) {
        n[vertex] += x;
        n[vertex + 1] += y;
        n[vertex + 2] += z;
      }
    }
    for (let k = 0; k < n.length; k += 3) {
      const length = Math.hypot(n[k], n[k + 1], n[k + 2]) || 1;
      n[k] /= length;
      n[k + 1] /= length;
      n[k + 2] /= length;
    }
  }
}
