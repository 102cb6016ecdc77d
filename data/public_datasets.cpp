#include "data/fetch.h"

namespace gsnet::data {
namespace {

std::vector<RemoteFile> idx_files(const std::string& base, const std::vector<RemoteFile>& names_and_digests) {
  std::vector<RemoteFile> files = names_and_digests;
  for (RemoteFile& file : files) file.url = base + file.file_name;
  return files;
}

PublicDataset cifar(std::string name, std::string description, const std::string& file, std::string digest) {
  return {std::move(name),
          std::move(description),
          {{"https://www.cs.toronto.edu/~kriz/" + file, file, std::move(digest), 0}},
          true};
}

std::vector<PublicDataset> make_list() {
  return {cifar("cifar10",
                "CIFAR-10: 60,000 colour pictures of 32 x 32, 10 classes; no licence stated, cite Krizhevsky 2009",
                "cifar-10-binary.tar.gz", "md5:c32a1d4ab5d03f1284b67883e8d87530"),
          cifar("cifar100",
                "CIFAR-100: 60,000 colour pictures of 32 x 32, 100 classes; no licence stated, cite Krizhevsky 2009",
                "cifar-100-binary.tar.gz", "md5:03b5dce01913d631647c71ecec9e9cb8"),
          {"mnist", "MNIST: 70,000 handwritten digits of 28 x 28; terms of LeCun, Cortes and Burges",
           idx_files("https://ossci-datasets.s3.amazonaws.com/mnist/",
                     {{"", "train-images-idx3-ubyte.gz", "md5:f68b3c2dcbeaaa9fbdd348bbdeb94873", 9'912'422},
                      {"", "train-labels-idx1-ubyte.gz", "md5:d53e105ee54ea40749a09fcbcd1e9432", 28'881},
                      {"", "t10k-images-idx3-ubyte.gz", "md5:9fb629c4189551a2d022fa330f9573f3", 1'648'877},
                      {"", "t10k-labels-idx1-ubyte.gz", "md5:ec29112dd5afa0611ce80d1b7f02629c", 4'542}}),
           false},
          {"fashion-mnist", "Fashion-MNIST: 70,000 pictures of clothes of 28 x 28, 10 classes; MIT, Zalando SE",
           idx_files("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
                     {{"", "train-images-idx3-ubyte.gz", "md5:8d4fb7e6c68d591d4c3dfef9ec88bf0d", 0},
                      {"", "train-labels-idx1-ubyte.gz", "md5:25c81989df183df01b3e8a0aad5dffbe", 0},
                      {"", "t10k-images-idx3-ubyte.gz", "md5:bef4ecab320f06d8554ea6380940ec79", 0},
                      {"", "t10k-labels-idx1-ubyte.gz", "md5:bb300cfdad3c16e7a12a480ee83cd310", 0}}),
           false}};
}

}  // namespace

std::span<const PublicDataset> public_datasets() {
  static const std::vector<PublicDataset> list = make_list();
  return list;
}

}  // namespace gsnet::data
