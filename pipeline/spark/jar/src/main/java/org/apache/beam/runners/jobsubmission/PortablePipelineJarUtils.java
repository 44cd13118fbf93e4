package org.apache.beam.runners.jobsubmission;

import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import org.apache.beam.model.pipeline.v1.RunnerApi;
import org.apache.beam.vendor.grpc.v1p60p1.com.google.protobuf.Message;
import org.apache.beam.vendor.grpc.v1p60p1.com.google.protobuf.Struct;
import org.apache.beam.vendor.grpc.v1p60p1.com.google.protobuf.Value;
import org.apache.beam.vendor.grpc.v1p60p1.com.google.protobuf.util.JsonFormat;

/** Reads the pipeline that Python's UberJarBeamJob has put into the jar, as JSON. */
public final class PortablePipelineJarUtils {
  private static final String FOLDER = "BEAM-PIPELINE/";
  private static final String RUNNER = "org.apache.beam.runners.spark.SparkRunner";

  private PortablePipelineJarUtils() {}

  /** The name under which the jar holds its pipeline. */
  public static String getDefaultJobName() throws IOException {
    Struct.Builder manifest = read("pipeline-manifest.json", Struct.newBuilder());
    return manifest.getFieldsOrThrow("defaultJobName").getStringValue();
  }

  /** The pipeline of that name. */
  public static RunnerApi.Pipeline getPipelineFromClasspath(String name) throws IOException {
    return read(name + "/pipeline.json", RunnerApi.Pipeline.newBuilder()).build();
  }

  /** Its options, with the runner: Python leaves it out, and Spark's storage level asks for it. */
  public static Struct getPipelineOptionsFromClasspath(String name) throws IOException {
    Value runner = Value.newBuilder().setStringValue(RUNNER).build();
    return read(name + "/pipeline-options.json", Struct.newBuilder())
        .putFields("beam:option:runner:v1", runner)
        .build();
  }

  private static <B extends Message.Builder> B read(String file, B builder) throws IOException {
    ClassLoader loader = Thread.currentThread().getContextClassLoader();
    try (InputStream stream = loader.getResourceAsStream(FOLDER + file)) {
      if (stream == null) {
        throw new FileNotFoundException("the jar holds no " + FOLDER + file);
      }
      String json = new String(stream.readAllBytes(), StandardCharsets.UTF_8);
      JsonFormat.parser().ignoringUnknownFields().merge(json, builder);
      return builder;
    }
  }
}
